"""Model folders, and the options a model is started with."""
