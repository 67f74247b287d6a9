"""Tools for sub-agents. The web and file tools are not in this version; give your own as `create_rlm_agent(tools=)`."""
