"""Functions of the host that the REPL can call."""
