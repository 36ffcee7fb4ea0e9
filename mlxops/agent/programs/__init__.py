"""Runtimes as installed on this host: commands, help, versions, environments."""
