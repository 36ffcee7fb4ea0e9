"""Keys that may do less."""
