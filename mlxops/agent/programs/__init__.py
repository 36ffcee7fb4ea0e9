"""What of them is installed on this host."""
