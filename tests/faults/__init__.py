"""Faults injected at every step of every verb, and the conditions that must hold afterwards."""
