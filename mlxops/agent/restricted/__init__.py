"""Forced commands: SSH keys that may run some verbs only."""
