"""The agent's parts with real processes, files and sockets."""
