"""The REPL: the host's side (`kernel.py`, `process.py`) and the code that runs in the worker."""
