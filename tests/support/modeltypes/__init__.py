"""A small config.json for every model type that mlx-lm builds, and what its caches really take."""
