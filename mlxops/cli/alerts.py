"""Which faults quiet runs of reconcile, such as cron's, have reported: each is reported once, then
once a day."""

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
# Bounds of the file. Faults beyond them are reported by every run.
MAX_FAULTS, MAX_BYTES = 500, 1 << 20
MAX_LABEL = 200
# Kinds whose reasons change while the fault is the same: an error message, a pid, a time of day.
_STEADY = ("unknown", "unresponsive", "failed", "dead-child", "lost", "held")
# A kind that only continues another one.
_CONTINUED = {"held": "lost"}
_HOST = "host"


class Fault(NamedTuple):
    """A problem. `key`: its identity across runs; `label`: its name; `line`: its report.
    `continues`: the key of the problem that has become this one."""

    key: str
    label: str
    line: str
    continues: str = ""


class FaultHistory:
    """The reported faults of a host file, with label and time; empty if the file is unreadable."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._reported = _read(path)

    def report(self, faults: list[Fault]) -> list[str]:
        """The lines of a run that reached the host: faults that are new, due again or resolved."""
        for fault in faults:
            self._reported.pop(fault.continues, None)
        return [
            *self._due(faults),
            *self._resolved({fault.key for fault in faults}, everything=True),
        ]

    def mark_reported(self, faults: list[Fault]) -> None:
        """Count them as reported: other lines report them."""
        self._due(faults)

    def report_failure(self, fault: Fault) -> bool:
        """Whether to report the error of a run that did not see the host's ports."""
        due = self._due([fault])
        self._resolved({fault.key}, everything=False)
        return bool(due)

    def _due(self, faults: list[Fault]) -> list[str]:
        now = self._clock()
        due = [fault for fault in faults if not 0 <= now - self._at(fault.key) < REPEAT_INTERVAL_S]
        self._reported.update(
            {fault.key: {"label": fault.label[:MAX_LABEL], "at": now} for fault in due}
        )
        return [fault.line for fault in due]

    def _at(self, key: str) -> float:
        return float(self._reported[key]["at"]) if key in self._reported else float("-inf")

    def _resolved(self, standing: set[str], everything: bool) -> list[str]:
        """Drop resolved faults; without `everything` only those of the connection, because the
        ports were not seen."""
        over = [
            key
            for key in self._reported
            if key not in standing and (everything or key.startswith(_HOST))
        ]
        return [f"resolved: {self._reported.pop(key)['label']}" for key in over]

    def save(self) -> None:
        """Write the file. If that fails, the next run reports everything again."""
        newest = sorted(self._reported.items(), key=lambda item: item[1]["at"])[-MAX_FAULTS:]
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
        reports = document["told"]
        return {
            str(key): {"label": str(one["label"]), "at": float(one["at"])}
            for key, one in reports.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def faults(wrong: list[Result], waiting: list[tuple[Result, str]]) -> list[Fault]:
    """The faults of a run: every drift, every broken server, every change that failed."""
    return [*map(_fault, wrong), *(_pending_fault(action, line) for action, line in waiting)]


def _fault(problem: Result) -> Fault:
    what, place = kind(problem), location(problem)
    reason = "" if what in _STEADY else str(problem.get("reason"))
    label = f"{what} {place}"
    before = f"{_CONTINUED.get(what, what)} {place}"
    continues = f"port {_digest(before, '')}" if before != label else ""
    return Fault(f"port {_digest(label, reason)}", label, one_line(problem), continues)


def _pending_fault(action: Result, line: str) -> Fault:
    label = f"{action['action']} {location(action)} not done"
    return Fault(f"port {_digest(label)}", label, line)


def failure_fault(error: MlxopsError) -> Fault:
    """The fault of a failed run: the same for all errors of one exit status, because a link breaks
    in many ways."""
    first = (error.message.splitlines() or [error.kind])[0]
    return Fault(f"{_HOST} {error.exit_code}", printable(first), "")


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:16]
