"""Parts of the agent with real files: the models of a host."""
