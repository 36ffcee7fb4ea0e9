"""Values in, values out: server programs."""
