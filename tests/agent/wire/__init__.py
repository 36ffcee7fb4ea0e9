"""Parts of the agent with real processes, files and sockets: its link to the client."""
