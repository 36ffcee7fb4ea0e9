"""Parts of the agent with real processes, files and sockets: one look after another."""
