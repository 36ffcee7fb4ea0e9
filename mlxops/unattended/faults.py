"""What is wrong, as faults with an identity across runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..agent.errors import HostUnreachable, MlxopsError
from ..render.drift import kind, location, one_line
from ..render.format import printable

# Kinds whose reasons change while the fault is the same: an error message, a pid, a time of day.
_STEADY = ("unknown", "unresponsive", "failed", "dead-child", "stale", "lost", "held", "empty")
# Kinds of which each only continues an earlier one.
_STAGES = ("stale", "lost", "held")
# The first word of a key: what the fault is about.
PORT, HOST, CHECK, WARNING, SELF = "port", "host", "check", "warning", "self"
LOCK = "lock"
# The ports check of doctor: "8100 lost (amber): why".
_CHECKED = re.compile(r"(?P<port>\d+) (?P<kind>[\w-]+)(?: \((?P<entry>.*?)\))?: (?P<reason>.*)")
_KEYS = ("port", "entry", "reason", "next")

Result = dict[str, Any]


class Fault(NamedTuple):
    """A problem. `key`: its identity across runs; `label`: its name; `line`: its report.
    `continues`: the keys of the problems that have become this one. `repeats`: whether it is
    reported again once a day. `record`: kind, port, entry, reason and next command, as known."""

    key: str
    label: str
    line: str
    continues: tuple[str, ...] = ()
    repeats: bool = True
    record: Mapping[str, Any] = {}


def port_fault(problem: Result) -> Fault:
    """The fault for a drift or a broken server."""
    what = kind(problem)
    stages = _STAGES[: _STAGES.index(what)] if what in _STAGES else ()
    return Fault(
        key=_port_key(problem, what),
        label=f"{what} {location(problem)}",
        line=one_line(problem),
        continues=tuple(_port_key(problem, stage) for stage in stages),
        record={"kind": what, **{name: problem.get(name) for name in _KEYS}},
    )


def _port_key(problem: Result, what: str) -> str:
    reason = "" if what in _STEADY else str(problem.get("reason"))
    return f"{PORT} {problem.get('port')} {what} {_digest(str(problem.get('entry')), reason)}"


def pending_fault(action: Result, line: str) -> Fault:
    """The fault for a change that could not be made."""
    label = f"{action['action']} {location(action)} not done"
    record = {"kind": "not-done", **{name: action.get(name) for name in _KEYS}}
    key = f"{PORT} {action.get('port')} not-done {_digest(label)}"
    return Fault(key=key, label=label, line=line, record=record)


def failure_fault(error: MlxopsError) -> Fault:
    """The fault of a failed run: the same for all errors of one exit status, because a link breaks
    in many ways. A host that is off is reported once; a run that hangs is a fault of its own."""
    if "held_s" in error.fields:
        return own_fault(LOCK, error)
    first = printable((error.message.splitlines() or [error.kind])[0])
    hint = f" ({printable(error.hint)})" if error.hint else ""
    return Fault(
        key=f"{HOST} {error.exit_code}",
        label=first,
        line=first + hint,
        repeats=error.exit_code != HostUnreachable.exit_code,
        record={"kind": error.kind, "reason": first, "next": error.hint or None},
    )


def check_fault(row: Result) -> Fault:
    """The fault for a failed check of doctor: that of the port, if it is about one."""
    matched = _CHECKED.fullmatch(str(row.get("seen"))) if row["check"] == "ports" else None
    if matched:
        problem = {
            "drift": matched["kind"],
            "port": int(matched["port"]),
            "entry": matched["entry"],
            "reason": matched["reason"],
            "next": row.get("mend"),
        }
        return port_fault(problem)
    # The details have sizes and times.
    name, reason = printable(row["check"]), printable(row.get("seen"))
    step = f" (next: {printable(row['mend'])})" if row.get("mend") else ""
    return Fault(
        key=f"{CHECK} {row.get('side')} {name}",
        label=f"check {name}",
        line=f"check {name}: {reason}{step}",
        record={"kind": name, "reason": reason, "next": row.get("mend")},
    )


def warning_fault(message: str) -> Fault:
    text = printable(message)
    return Fault(
        key=f"{WARNING} {_digest(text)}",
        label=f"warning: {text}",
        line=f"warning: {text}",
        record={"kind": "warning", "reason": text},
    )


def own_fault(name: str, error: MlxopsError) -> Fault:
    """A fault of this machine: of the notify command, or the metrics file."""
    text = printable(error.message)
    return Fault(key=f"{SELF} {name}", label=text, line=text, record={"kind": name, "reason": text})


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:16]
