"""The news of a run, from its result: what is new, due again or over, and what was changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..render.actions import action_lines, problems
from ..render.drift import location
from . import faults as faulting
from .faults import CHECK, HOST, LOCK, PORT, SELF, WARNING, Fault
from .reported import News, ReportedFaults, change

Result = dict[str, Any]
Settles = Callable[[str], bool]
# What only reconcile notices.
_CHANGES = "not-done"
# What doctor reports as checks of another name.
_NOT_BY_DOCTOR: tuple[str, ...] = ("foreign", "duplicate", _CHANGES)


def of_status(
    result: Result, reported: ReportedFaults, own: list[Fault], settles_own: Settles
) -> list[News]:
    """The news of status, which saw only the ports of its rows."""
    rows = result["ports"]
    unknown = [{**row, "drift": "unknown", "next": None} for row in rows if _is_unknown(row)]
    wrong = [*(result.get("drift") or []), *(result.get("broken") or []), *unknown]
    ports = {str(row["port"]) for row in rows}

    def settles(key: str) -> bool:
        about, *rest = key.split()
        if about == PORT:
            return rest[0] in ports and rest[1] != _CHANGES
        return about == HOST or (about == SELF and settles_own(key))

    return reported.news([*map(faulting.port_fault, wrong), *own], settles)


def _is_unknown(row: Result) -> bool:
    return row.get("state") == "unknown" and not row.get("drift")


def of_reconcile(
    result: Result, reported: ReportedFaults, own: list[Fault], settles_own: Settles
) -> list[News]:
    """What reconcile changed, then its news. `own`: faults of this machine, and warnings."""
    done = [action for action in result["actions"] if action.get("applied")]
    waiting = [action for action in result["actions"] if not action.get("applied")]
    pending = map(faulting.pending_fault, waiting, action_lines(waiting))
    faults = [*map(faulting.port_fault, problems(result)), *pending, *own]
    # Lines of actions report these already.
    rest = [one for one in result.get("drift") or [] if one not in problems(result)]
    cleared = list(map(faulting.port_fault, rest))
    reported.mark_reported(cleared)

    def settles(key: str) -> bool:
        about = key.split()[0]
        if about == SELF:
            return key == f"{SELF} {LOCK}" or settles_own(key)
        return about in (PORT, HOST, WARNING)

    changes = [
        change(f"{action['action']} {location(action)}", line, _record(action))
        for action, line in zip(done, action_lines(done), strict=True)
    ]
    return [*changes, *reported.news([*faults, *cleared], settles)]


def _record(action: Result) -> Result:
    keys = ("port", "entry", "reason", "next")
    return {"kind": action["action"], **{key: action.get(key) for key in keys}}


def of_doctor(
    result: Result, reported: ReportedFaults, own: list[Fault], settles_own: Settles
) -> list[News]:
    """The news of doctor: every check that failed."""
    wrong = [row for row in result["checks"] if _failed(row)]

    def settles(key: str) -> bool:
        about, *rest = key.split()
        if about == PORT:
            return rest[1] not in _NOT_BY_DOCTOR
        return about in (HOST, CHECK) or (about == SELF and settles_own(key))

    return reported.news([*map(faulting.check_fault, wrong), *own], settles)


def _failed(row: Result) -> bool:
    return bool(row["verdict"] == "wrong" or (row["check"], row["verdict"]) == ("ports", "unknown"))
