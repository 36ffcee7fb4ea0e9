"""Values in, values out: the live view, on the host and here."""
