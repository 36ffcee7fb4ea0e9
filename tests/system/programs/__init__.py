"""Whole commands against a host: installed programs."""
