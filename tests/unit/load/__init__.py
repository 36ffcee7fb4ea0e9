"""Values in, values out: parts of a load."""
