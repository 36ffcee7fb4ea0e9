"""Whole commands against a host: what fits into memory."""
