"""Values in, values out; single parts of the client."""
