"""People: what needs their word, and how it is asked and kept."""
