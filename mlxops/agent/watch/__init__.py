"""One look after another at a host's ports, cheap and without a trace in any server's log."""
