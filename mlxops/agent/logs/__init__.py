"""Servers' log files: where they are, their last lines, an end to their growth."""
