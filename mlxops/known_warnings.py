"""Which lasting warnings this account has seen: each is printed once, and again when it changes."""

from __future__ import annotations

import hashlib

from . import client_state

FILE = "warnings.json"
MAX_WARNINGS = 1000


class KnownWarnings:
    """The warnings of one host. A warning is known by its entry and its whole text."""

    def __init__(self, host: str) -> None:
        self._host = host

    def is_new(self, entry: str, message: str) -> bool:
        """Whether it was not printed before; from now on it is known."""
        key = hashlib.sha256("\0".join((self._host, entry, message)).encode()).hexdigest()[:32]
        stored = client_state.read_json(FILE)
        known = [word for word in stored if isinstance(word, str)] if type(stored) is list else []
        if key in known:
            return False
        client_state.write_json(FILE, [*known, key][-MAX_WARNINGS:])
        return True
