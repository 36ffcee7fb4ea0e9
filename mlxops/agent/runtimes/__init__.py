"""Server programs (runtimes), as data."""
