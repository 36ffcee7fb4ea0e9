"""Whole commands against a host: command lines."""
