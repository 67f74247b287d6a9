"""One entry into a run: who calls, what is asked, what is alive meanwhile."""
