"""Values in, values out: real requests to a server."""
