"""The verbs, each a short story over the modules above."""
