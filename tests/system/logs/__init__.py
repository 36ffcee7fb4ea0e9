"""Whole commands against a host: servers' log files."""
