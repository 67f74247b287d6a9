"""The root model: what it reads, and how what it writes is read."""
