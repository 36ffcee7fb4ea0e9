"""Whole commands against a host: a server's life."""
