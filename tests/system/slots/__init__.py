"""Whole commands against a host: what should serve on its ports."""
