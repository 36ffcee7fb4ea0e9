"""Parts of the agent with real processes, files and sockets: processes and listeners."""
