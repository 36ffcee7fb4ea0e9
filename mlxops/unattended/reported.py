"""Which faults were reported: each is reported once, then once a day, and once when it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..client_state import replace_json
from .faults import HOST, Fault

REPEAT_INTERVAL_S = 86400.0
# Bounds of the file. Faults beyond them are reported by every run.
MAX_FAULTS, MAX_BYTES = 500, 1 << 20
MAX_LABEL = 200
VERSION = 2
NEW, AGAIN, RESOLVED, CHANGE = "new", "again", "resolved", "change"


class News(NamedTuple):
    """One line of a report. `event`: one of the constants above. `label`: the line in short."""

    event: str
    label: str
    line: str
    record: dict[str, Any]


def change(label: str, line: str, record: dict[str, Any]) -> News:
    """A change that was made."""
    return News(CHANGE, label, line, record)


class ReportedFaults:
    """The reported faults, with label and time; empty if the file is unreadable."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._reported = _read(path)

    def news(self, faults: list[Fault], settles: Callable[[str], bool]) -> list[News]:
        """What is new, due again or resolved. `settles`: whether the run would have found the
        fault with this key if it still existed."""
        for fault in faults:
            for key in fault.continues:
                self._reported.pop(key, None)
        return [*self._due(faults), *self._resolved({fault.key for fault in faults}, settles)]

    def mark_reported(self, faults: list[Fault]) -> None:
        """Count them as reported: other lines report them."""
        self._due(faults)

    def failure(self, fault: Fault) -> list[News]:
        """What to report of a run that failed: it did not see the ports, so only other failures
        are over."""
        if fault.key.startswith(HOST + " "):
            self._resolved({fault.key}, lambda key: key.startswith(HOST + " "))
        return self._due([fault])

    def _due(self, faults: list[Fault]) -> list[News]:
        now = self._clock()
        due = [fault for fault in faults if self._is_due(fault, now)]
        news = [
            News(
                event=AGAIN if fault.key in self._reported else NEW,
                label=fault.label,
                line=fault.line,
                record=dict(fault.record),
            )
            for fault in due
        ]
        self._reported.update(
            {
                fault.key: {
                    "label": fault.label[:MAX_LABEL],
                    "at": now,
                    "record": {key: fault.record.get(key) for key in ("kind", "port", "entry")},
                }
                for fault in due
            }
        )
        return news

    def _is_due(self, fault: Fault, now: float) -> bool:
        if fault.key not in self._reported:
            return True
        age_s = now - float(self._reported[fault.key]["at"])
        return fault.repeats and not 0 <= age_s < REPEAT_INTERVAL_S

    def _resolved(self, standing: set[str], settles: Callable[[str], bool]) -> list[News]:
        over = [key for key in self._reported if key not in standing and settles(key)]
        return [_resolved(self._reported.pop(key)) for key in over]

    def save(self) -> None:
        """Write the file. If that fails, the next run reports everything again."""
        newest = sorted(self._reported.items(), key=lambda item: item[1]["at"])[-MAX_FAULTS:]
        with suppress(OSError):
            replace_json(self._path, {"version": VERSION, "reported": dict(newest)})


def _resolved(reported: dict[str, Any]) -> News:
    line = f"resolved: {reported['label']}"
    return News(RESOLVED, line, line, reported["record"])


def lines(news: Iterable[News]) -> list[str]:
    return [one.line for one in news]


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(MAX_BYTES))
        reports = document["reported"] if document["version"] == VERSION else {}
        return {
            str(key): {
                "label": str(one["label"]),
                "at": float(one["at"]),
                "record": dict(one["record"]),
            }
            for key, one in reports.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
