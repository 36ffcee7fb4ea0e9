"""The models of this host, wherever they are."""
