"""Values in, values out: entries, their file and its lock."""
