"""What should serve on each port, and the steps from what serves there now."""
