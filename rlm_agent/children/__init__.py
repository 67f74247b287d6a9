"""Children: agents of their own that answer the `rlm()` calls of a cell, down to `max_depth`."""
