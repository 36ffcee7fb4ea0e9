"""What macOS says of processes, ports and memory."""
