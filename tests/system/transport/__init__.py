"""Whole commands against a host: links to a host."""
