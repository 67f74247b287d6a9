"""Recorded runs, as people look at them, fork, move and remove them."""
