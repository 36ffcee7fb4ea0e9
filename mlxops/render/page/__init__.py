"""The page of `history --html`: one file without scripts and without external resources."""
