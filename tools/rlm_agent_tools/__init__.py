"""Tools for sub-agents, as plugins: `web` (search, fetch) and `files` (read, list, find, grep beneath given roots)."""
