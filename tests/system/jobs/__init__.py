"""Whole commands against a host: work on one port."""
