"""Arbitrary bytes for every reader of data that others wrote."""
