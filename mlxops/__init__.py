"""Puts MLX models on the ports of a Mac Studio, from another machine, over SSH."""

__version__ = "0.2.0"
