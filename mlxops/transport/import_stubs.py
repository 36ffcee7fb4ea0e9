"""Stand-ins for modules that libraries import for features never used here: each costs 10-40 ms of
every command."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

IMPORT_LOCK = threading.RLock()


@contextmanager
def stubbed_imports(*names: str) -> Iterator[None]:
    """While the block imports, modules of these names that nobody has loaded yet are hollow; later
    they can be had."""
    with IMPORT_LOCK:
        hidden = [name for name in names if name not in sys.modules]
        for name in hidden:
            sys.modules[name] = StubModule(name)
        try:
            yield
        finally:
            for name in hidden:
                del sys.modules[name]


class StubModule(types.ModuleType):
    """A module that has whatever is asked of it, none of which does anything."""

    __path__: list[str] = []  # noqa: RUF012 - an attribute of modules, never changed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (StubClass,), {})


class StubClass(Exception):
    """Takes any arguments, and can be caught."""
