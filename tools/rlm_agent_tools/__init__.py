"""Tools for sub-agents, as plugins: `files` (read, list, find, grep beneath given roots)."""
