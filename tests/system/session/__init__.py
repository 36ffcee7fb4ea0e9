"""Whole commands against a host: one call to a host."""
