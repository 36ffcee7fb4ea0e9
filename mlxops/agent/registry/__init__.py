"""Which model is meant for which port."""
