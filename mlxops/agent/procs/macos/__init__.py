"""What macOS shows of processes, ports and memory."""
