"""Runs without a person: one at a time, what they report and to whom, and the crontab."""
