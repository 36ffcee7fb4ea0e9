"""`mlxops demo`: the main job on tiny models and a throw-away SSH server."""
