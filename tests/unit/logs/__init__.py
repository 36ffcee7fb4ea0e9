"""Values in, values out: servers' log files."""
