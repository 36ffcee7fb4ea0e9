"""Parts of the agent with real processes, files and sockets: the history of changes."""
