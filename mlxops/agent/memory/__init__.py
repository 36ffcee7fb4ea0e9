"""The memory a model needs, and the memory that is available."""
