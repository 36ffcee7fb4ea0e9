"""Whole commands against a host: server programs."""
