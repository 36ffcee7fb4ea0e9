"""Whole commands against a host: its models, wherever they are."""
