"""The code without one of its safeguards: a test must fail each time."""
