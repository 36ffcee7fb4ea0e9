"""What is observed of a port, and what follows."""
