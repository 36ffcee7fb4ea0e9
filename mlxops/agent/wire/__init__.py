"""The connection between client and agent: codec, bootstrap, arguments."""
