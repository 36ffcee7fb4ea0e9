"""The words that a user types: verbs, options, ports and models."""
