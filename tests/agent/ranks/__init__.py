"""Parts of the agent with real processes, files and sockets: one model on several hosts."""
