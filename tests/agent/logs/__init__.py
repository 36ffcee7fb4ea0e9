"""Parts of the agent with real processes, files and sockets: servers' log files."""
