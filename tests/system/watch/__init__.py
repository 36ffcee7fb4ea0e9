"""The command line over a real SSH server: the live view."""
