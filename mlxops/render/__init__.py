"""Formats everything people see: a result goes in, text comes out."""
