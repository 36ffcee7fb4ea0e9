"""Whole commands against a host: keys that may run some verbs only."""
