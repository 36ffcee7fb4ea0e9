"""Parts of the agent with real processes, files and sockets: work on one port."""
