"""Whole commands against a host: entries, their file and its lock."""
