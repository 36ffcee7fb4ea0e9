"""Whole commands against a host: downloads."""
