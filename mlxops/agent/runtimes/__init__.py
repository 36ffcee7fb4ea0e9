"""Server programs, as data."""
