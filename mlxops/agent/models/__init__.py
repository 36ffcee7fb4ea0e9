"""Model folders, and the options a model gets."""
