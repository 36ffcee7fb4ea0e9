"""Parts of the agent with real processes, files and sockets: what should serve on the ports."""
