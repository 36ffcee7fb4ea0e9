"""What the reader of a quiet reconcile, such as cron's mail, was told: a steady fault is told once,
then once a day."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..agent.errors import MlxopsError
from ..render.drift import kind, location, one_line
from ..render.format import printable
from .run import Result

REPEAT_INTERVAL_S = 86400.0
# More are told each time: a file that nobody can fill up.
MAX_FAULTS, MAX_BYTES = 500, 1 << 20
MAX_LABEL = 200
# Their reasons change while the fault is the same: the words of an error, a pid.
_STEADY = ("unknown", "unresponsive", "failed", "dead-child")
_HOST = "host"


class Fault(NamedTuple):
    """Something that is wrong. `key`: what makes it the same fault at the next run; `label`: its
    name for people."""

    key: str
    label: str
    line: str


class FaultHistory:
    """The faults told, of one host file, each with its label and when. A file that cannot be read
    remembers nothing."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._told = _read(path)

    def report(self, faults: list[Fault]) -> list[str]:
        """The lines of a run that reached the host: faults that are new or due again, and faults
        that are over."""
        return [
            *self._due(faults),
            *self._resolved({fault.key for fault in faults}, everything=True),
        ]

    def mark_reported(self, faults: list[Fault]) -> None:
        """Take them as told: something else tells of them."""
        self._due(faults)

    def report_failure(self, fault: Fault) -> bool:
        """Whether to tell how a run ended that learnt nothing of the host's ports."""
        due = self._due([fault])
        self._resolved({fault.key}, everything=False)
        return bool(due)

    def _due(self, faults: list[Fault]) -> list[str]:
        now = self._clock()
        due = [fault for fault in faults if not 0 <= now - self._at(fault.key) < REPEAT_INTERVAL_S]
        self._told.update(
            {fault.key: {"label": fault.label[:MAX_LABEL], "at": now} for fault in due}
        )
        return [fault.line for fault in due]

    def _at(self, key: str) -> float:
        return float(self._told[key]["at"]) if key in self._told else float("-inf")

    def _resolved(self, standing: set[str], everything: bool) -> list[str]:
        """Forget what is over; without `everything` only what kept runs from the host: the ports
        were not seen."""
        over = [
            key
            for key in self._told
            if key not in standing and (everything or key.startswith(_HOST))
        ]
        return [f"no longer: {self._told.pop(key)['label']}" for key in over]

    def save(self) -> None:
        """Where it cannot be written everything is told again, which is no fault of this run."""
        newest = sorted(self._told.items(), key=lambda item: item[1]["at"])[-MAX_FAULTS:]
        draft = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            draft.write_text(json.dumps({"version": 1, "told": dict(newest)}))
            os.replace(draft, self._path)
        except OSError:
            with suppress(OSError):
                draft.unlink()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(MAX_BYTES))
        told = document["told"]
        return {
            str(key): {"label": str(one["label"]), "at": float(one["at"])}
            for key, one in told.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def faults(wrong: list[Result], waiting: list[tuple[Result, str]]) -> list[Fault]:
    """The faults of a reconcile: every drift and broken server, and the changes that could not be
    made."""
    return [*map(_fault, wrong), *(_pending_fault(action, line) for action, line in waiting)]


def _fault(told: Result) -> Fault:
    what = kind(told)
    reason = "" if what in _STEADY else str(told.get("reason"))
    label = f"{what} {location(told)}"
    return Fault(f"port {_digest(label, reason)}", label, one_line(told))


def _pending_fault(action: Result, line: str) -> Fault:
    label = f"{action['action']} {location(action)} not done"
    return Fault(f"port {_digest(label)}", label, line)


def failure_fault(error: MlxopsError) -> Fault:
    """A run that failed; the same fault as any other with its exit status: a link breaks in many
    ways."""
    first = (error.message.splitlines() or [error.kind])[0]
    return Fault(f"{_HOST} {error.exit_code}", printable(first), "")


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:16]
