"""Faults, injected at every step of every verb, and what must hold after each of them."""
