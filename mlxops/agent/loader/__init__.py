"""What the runtime's own loader says of a model: whether it can build it, what its cache takes,
which files it reads, and how it speaks."""
