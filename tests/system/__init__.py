"""Whole commands against a host."""
