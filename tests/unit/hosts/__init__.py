"""Values in, values out: host files."""
