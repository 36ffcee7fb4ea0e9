"""Whole commands against a host: what is printed."""
