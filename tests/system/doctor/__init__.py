"""Whole commands against a host: the checks of `doctor`."""
