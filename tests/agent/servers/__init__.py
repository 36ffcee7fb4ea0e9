"""Parts of the agent with real processes, files and sockets: a server's life."""
