"""The line between client and agent."""
