"""Values in, values out: what passes between client and agent."""
