"""Jobs and locks: what runs on the host, and who holds what."""

from __future__ import annotations

from typing import Any

from .format import ago, moment, safe, span, word
from .style import Style
from .table import table


def jobs_text(result: dict[str, Any], style: Style) -> str:
    """One line per job, the newest first; below them how those of them failed, which is too long
    for a column."""
    jobs = result["jobs"]
    if not jobs:
        return "No job yet."
    rows = [
        [
            _state(job),
            word(job["why"]),
            ago(job["since"]),
            _took(job),
            _phase(job),
            _whom(job),
            word(job["job"]),
        ]
        for job in jobs
    ]
    lines = [
        table(["STATE", "WHAT", "STARTED>", "TOOK>", "PHASE", "WHO", "JOB"], rows, style.width)
    ]
    lines += (
        [f"{result['more']} older: mlxops jobs -n {len(jobs) + result['more']}"]
        if result.get("more")
        else []
    )
    failed = [job for job in jobs if job["message"] and job["state"] != "cancelled"]
    wrong = [f"{word(job['job'])} ({word(job['why'])}): {safe(job['message'])}" for job in failed]
    return "\n".join([*lines, *([""] if wrong else []), *wrong])


def _phase(job: dict[str, Any]) -> str:
    """Of a job that is running, and how far a download is."""
    if job["state"] != "running":
        return word(None)
    far = job.get("progress") or {}
    done, total = far.get("done"), far.get("total")
    if isinstance(done, int) and isinstance(total, int) and 0 <= done <= total and total:
        return f"{word(job['phase'])} {100 * done // total} %"
    return word(job["phase"])


def _took(job: dict[str, Any]) -> str:
    since, ended = moment(job["since"]), moment(job.get("ended"))
    return span(ended - since if since is not None and ended is not None else None)


def locks_text(result: dict[str, Any], style: Style) -> str:
    """One line per lock that is held."""
    rows = [
        [
            f"port {lock['port']}" if lock["port"] else "registry",
            _held_by(lock),
            _whom(lock),
            word(lock["since"]),
            word(lock["phase"]),
        ]
        for lock in result["locks"]
        if lock["held"]
    ]
    return table(["LOCK", "WHY", "WHO", "SINCE", "PHASE"], rows) if rows else "Nothing is locked."


def _held_by(lock: dict[str, Any]) -> str:
    """What a job does; of a process that is no job, which one it is."""
    return f"pid {lock['pid']}: {word(lock['why'])}" if lock.get("outsider") else word(lock["why"])


def ended(result: dict[str, Any], style: Style) -> str:
    """One line about how a job ended."""
    said = f": {safe(result['message'])}" if result.get("message") else ""
    return f"{word(result['why'])}: {word(result['state'])}{said}"


def _state(job: dict[str, Any]) -> str:
    return (
        f"died in {word(job['phase'] or 'claim')}" if job["state"] == "died" else word(job["state"])
    )


def _whom(row: dict[str, Any]) -> str:
    return f"{word(row['who'])}@{word(row['from'])}"
