"""Parts of the agent with real processes, files and sockets: real requests to a server."""
