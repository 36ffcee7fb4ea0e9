"""Whole commands against a host: the verbs."""
