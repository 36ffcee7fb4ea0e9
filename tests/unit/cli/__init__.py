"""Values in, values out: command lines."""
