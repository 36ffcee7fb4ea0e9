"""Whole commands against a host: `mlxops demo`."""
