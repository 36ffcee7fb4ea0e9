"""Find the process that holds a lock. The text in the lock file may be from an earlier holder."""

from __future__ import annotations

import pwd
from typing import Any, Dict, Mapping, Optional

from ..procs import Process, Procs, Unobservable, local_procs

MAX_COMMAND_LENGTH = 120


def actual_holder(
    path: str, said: Mapping[str, Any], procs: Optional[Procs] = None
) -> Dict[str, Any]:
    """The text of the lock file if its writer still holds the lock; else the process that does,
    marked as `outsider`; {} if it cannot be identified."""
    procs = procs or local_procs()
    writer = _writer(procs, said)
    if said.get("job") and writer and not said.get("ended"):
        return dict(said)
    try:
        pids = procs.lockers(path)
    except Unobservable:
        pids = ()
    if said and (said.get("pid") in pids or "pid" not in said):
        return dict(said)
    if not pids:
        return dict(said) if writer else {}
    return _outsider(procs, pids[0])


def _writer(procs: Procs, record: Mapping[str, Any]) -> bool:
    """Whether the process that wrote the text is alive; True if it cannot be observed."""
    pid = record.get("pid")
    if type(pid) is not int or not 0 < pid < 1 << 31:
        return False
    try:
        process = procs.process(pid)
    except Unobservable:
        return True
    return process is not None and record.get("start_time") in (None, process.start_time)


def _outsider(procs: Procs, pid: int) -> Dict[str, Any]:
    try:
        process = procs.process(pid)
    except Unobservable:
        process = None
    return {
        "outsider": True,
        "pid": pid,
        "who": _user(process),
        "from": "this host",
        "since": None,
        "why": (" ".join(" ".join(process.argv).split())[:MAX_COMMAND_LENGTH] if process else "")
        or "unknown command",
    }


def _user(process: Optional[Process]) -> str:
    if process is None:
        return "unknown"
    try:
        return pwd.getpwuid(process.uid).pw_name
    except KeyError:
        return str(process.uid)
