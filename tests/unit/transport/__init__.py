"""Values in, values out: links to a host."""
