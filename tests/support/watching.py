"""Observations of a Studio while a command runs: the registry at every moment, and the job on a
port."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import Any

from tests.support.studio import Answer, Studio, eventually

EVERY_S = 0.001


class RegistryWatch:
    """Reads the registry file continuously in a thread: `faults` are reads that showed an invalid
    state.

    `seen` is every distinct set of assignments (entry -> port), in order of appearance."""

    def __init__(self, studio: Studio) -> None:
        self._path = studio.registry_path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.looks = 0
        self.faults: list[str] = []
        self.seen: list[dict[str, int]] = []

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        self.looks += 1
        text = self._path.read_text()
        try:
            models = json.loads(text)["models"]
        except (ValueError, KeyError):
            self.faults.append(text)
            return
        assigned = {
            name: entry["port"] for name, entry in models.items() if entry["port"] is not None
        }
        if len(set(assigned.values())) < len(assigned):
            self.faults.append(text)
        if self.seen[-1:] != [assigned]:
            self.seen.append(assigned)

    def __enter__(self) -> RegistryWatch:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()


def lock_text(studio: Studio, port: int) -> dict[str, Any]:
    """The text of the port's lock, about its current or last holder."""
    path = studio.registry_path.with_name(f"{studio.registry_path.name}.{port}.lock")
    held: dict[str, Any] = json.loads(path.read_text() or "{}")
    return held


def job(studio: Studio, port: int, phase: str) -> dict[str, Any]:
    """The job on a port, once it has reached this phase."""

    def there() -> dict[str, Any] | None:
        try:
            held = lock_text(studio, port)
        except ValueError:  # read between the two steps of its writer
            return None
        return held if held.get("phase") == phase else None

    found: dict[str, Any] = eventually(there)
    return found


def refused(answer: Answer, code: int, kind: str) -> dict[str, Any]:
    """The error of a command that must fail in exactly this way, reported according to the
    contract."""
    assert answer.exit == code, answer
    assert "Traceback" not in answer.stdout + answer.stderr
    document = answer.document
    assert not document["ok"] and document["error"]["kind"] == kind, document
    assert document["error"]["message"] and document["error"]["hint"], document
    error: dict[str, Any] = document["error"]
    return error
