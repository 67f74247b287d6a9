"""The command line `rlm`: one file a command, `main.py` the entry point. Nothing here is needed by the library."""
