"""What a model takes and what the host has."""
