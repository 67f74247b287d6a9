"""Sub-agents: their calls, their tools, what their replies must match."""
