"""Whole commands against a host: what is known about a port."""
