"""Whole commands against a host: the steps of a load."""
