"""The live view of one or more hosts: one connection each, redrawn as they report changes."""
