"""Parts of the agent with real processes, files and sockets: entries, their file and its lock."""
