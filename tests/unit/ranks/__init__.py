"""Values in, values out: one model on several hosts."""
