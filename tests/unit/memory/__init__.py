"""Values in, values out: what fits into memory."""
