"""The host's side of doctor: each check is a small function from a command to what it found, and
changes nothing."""
