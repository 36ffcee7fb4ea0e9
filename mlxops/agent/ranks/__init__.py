"""One model on several hosts."""
