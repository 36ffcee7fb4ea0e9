"""What the Hub's cache holds on disk, who uses it, and how it is removed."""
