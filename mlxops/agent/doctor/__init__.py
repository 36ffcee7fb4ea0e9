"""The host's side of doctor: each check is a generator of findings and changes nothing."""
