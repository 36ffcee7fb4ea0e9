"""Values in, values out: what is printed."""
