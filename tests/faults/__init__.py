"""Faults, injected at every step of every verb, and what must hold after each of them."""

import sys
from pathlib import Path

# The soak runs without pytest, which puts this folder on the path for the tests.
sys.path.insert(0, str(Path(__file__).parent.parent))
