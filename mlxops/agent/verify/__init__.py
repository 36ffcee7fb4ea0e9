"""Real requests to a server."""
