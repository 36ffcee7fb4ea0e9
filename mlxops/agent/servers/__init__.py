"""A server's life."""
