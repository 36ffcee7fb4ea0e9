"""The commands: one file for each verb, or for a few that belong together."""
