"""Values in, values out: what is known about a port."""
