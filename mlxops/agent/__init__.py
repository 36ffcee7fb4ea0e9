"""Code that runs on the host, for one command. Standard library only, Python 3.9, imports nothing
outside itself."""
