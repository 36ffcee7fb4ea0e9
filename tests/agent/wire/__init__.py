"""Parts of the agent with real processes, files and sockets: what passes between client and agent."""
