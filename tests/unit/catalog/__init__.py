"""Values in, values out: the models of a host."""
