"""Whole commands against a host: one model on several hosts."""
