"""Jobs and locks: what runs on the host, and who holds what."""

from __future__ import annotations

from typing import Any

from .style import Style
from .table import table
from .words import safe, word


def jobs_text(result: dict[str, Any], style: Style) -> str:
    """One line per job, the newest first; below them what went wrong, which is too long for a column."""
    jobs = result["jobs"]
    rows = [
        [word(job["job"]), _state(job), word(job["why"]), _whom(job), word(job["since"]), word(job["phase"])]
        for job in jobs
    ]  # fmt: skip
    wrong = [f"{word(job['job'])}: {safe(job['message'])}" for job in jobs if job["message"]]
    drawn = table(["JOB", "STATE", "WHAT", "WHO", "SINCE", "PHASE"], rows, style.width)
    return "\n".join([drawn, *([""] if wrong else []), *wrong]) if rows else "No job yet."


def locks_text(result: dict[str, Any], style: Style) -> str:
    """One line per lock that is held."""
    rows = [
        [f"port {lock['port']}" if lock["port"] else "registry", _held_by(lock), _whom(lock), word(lock["since"]),
         word(lock["phase"])]
        for lock in result["locks"]
        if lock["held"]
    ]  # fmt: skip
    return table(["LOCK", "WHY", "WHO", "SINCE", "PHASE"], rows) if rows else "Nothing is locked."


def _held_by(lock: dict[str, Any]) -> str:
    """What a job does; of a process that is no job, which one it is."""
    return f"pid {lock['pid']}: {word(lock['why'])}" if lock.get("outsider") else word(lock["why"])


def ended(result: dict[str, Any], style: Style) -> str:
    """One line about how a job ended."""
    said = f": {safe(result['message'])}" if result.get("message") else ""
    return f"{word(result['why'])}: {word(result['state'])}{said}"


def _state(job: dict[str, Any]) -> str:
    return f"died in {word(job['phase'] or 'claim')}" if job["state"] == "died" else word(job["state"])


def _whom(row: dict[str, Any]) -> str:
    return f"{word(row['who'])}@{word(row['from'])}"
