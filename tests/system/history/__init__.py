"""Whole commands against a host: the history of changes."""
