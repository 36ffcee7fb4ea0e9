"""Values in, values out: a server's life."""
