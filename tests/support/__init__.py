"""Shared by the tests: a Studio, stand-in servers, a Hub, links that can be cut."""
