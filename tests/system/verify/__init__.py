"""Whole commands against a host: real requests to a server."""
