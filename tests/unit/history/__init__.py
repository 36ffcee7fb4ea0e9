"""Values in, values out: the history of changes."""
