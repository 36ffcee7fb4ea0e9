"""mlxops decides which MLX model serves on which port of a Mac Studio, from another machine, over
SSH."""

__version__ = "0.1.0"
