"""`mlxops demo`: the main job with tiny models and a temporary SSH server."""
