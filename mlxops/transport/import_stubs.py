"""Stubs for modules that libraries import for features not used here. Each import would cost 10-40
ms of every command."""

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
    """Inside the block, imports of these modules get stubs, unless they are loaded already; later
    imports get the real ones."""
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
    """A module with any attribute: a class that does nothing."""

    __path__: list[str] = []  # noqa: RUF012 - an attribute of modules, never changed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (StubClass,), {})


class StubClass(Exception):
    """A class that takes any arguments, and that `except` accepts."""
