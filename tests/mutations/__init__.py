"""The code with one safeguard taken out, again and again: a test has to go red each time."""
