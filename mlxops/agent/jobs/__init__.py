"""Work on one port: its lock, its log, what it reserves."""
