"""Whole commands against a host: what passes between client and agent."""
