"""Ready-made agents, served by `langgraph.json`. Each module has a `graph` that LangGraph's server can load."""
