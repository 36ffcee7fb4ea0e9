"""The tests of mlxops."""
