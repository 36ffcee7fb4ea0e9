"""Jobs: work on one port, with its lock, log, reservations and undo stack."""
