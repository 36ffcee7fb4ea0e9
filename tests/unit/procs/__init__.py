"""Values in, values out: processes and listeners."""
