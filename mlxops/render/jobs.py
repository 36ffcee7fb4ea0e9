"""Jobs and locks of the host."""

from __future__ import annotations

from typing import Any

from .format import ago, cell, duration, printable, timestamp
from .style import Style
from .table import table


def job_table(result: dict[str, Any], style: Style) -> str:
    """One line per job, newest first; below them the messages of those that failed."""
    jobs = result["jobs"]
    if not jobs:
        return "No jobs yet."
    rows = [
        [
            _state(job),
            cell(job["why"]),
            ago(job["since"]),
            _took(job),
            _phase(job),
            _who(job),
            cell(job["job"]),
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
    wrong = [
        f"{cell(job['job'])} ({cell(job['why'])}): {printable(job['message'])}" for job in failed
    ]
    return "\n".join([*lines, *([""] if wrong else []), *wrong])


def _phase(job: dict[str, Any]) -> str:
    """The phase of a running job, with the progress of a download."""
    if job["state"] != "running":
        return cell(None)
    far = job.get("progress") or {}
    done, total = far.get("done"), far.get("total")
    if isinstance(done, int) and isinstance(total, int) and 0 <= done <= total and total:
        return f"{cell(job['phase'])} {100 * done // total} %"
    return cell(job["phase"])


def _took(job: dict[str, Any]) -> str:
    since, ended = timestamp(job["since"]), timestamp(job.get("ended"))
    return duration(ended - since if since is not None and ended is not None else None)


def lock_table(result: dict[str, Any], style: Style) -> str:
    """One line per lock that is held."""
    rows = [
        [
            f"port {lock['port']}" if lock["port"] else "registry",
            _held_by(lock),
            _who(lock),
            cell(lock["since"]),
            cell(lock["phase"]),
        ]
        for lock in result["locks"]
        if lock["held"]
    ]
    return table(["LOCK", "WHY", "WHO", "SINCE", "PHASE"], rows) if rows else "No lock is held."


def _held_by(lock: dict[str, Any]) -> str:
    """Why the lock is held; with the pid if the holder is not a job of mlxops."""
    return f"pid {lock['pid']}: {cell(lock['why'])}" if lock.get("outsider") else cell(lock["why"])


def job_outcome(result: dict[str, Any], style: Style) -> str:
    """One line: how a job ended."""
    message = f": {printable(result['message'])}" if result.get("message") else ""
    return f"{cell(result['why'])}: {cell(result['state'])}{message}"


def _state(job: dict[str, Any]) -> str:
    return (
        f"killed in {cell(job['phase'] or 'claim')}"
        if job["state"] == "died"
        else cell(job["state"])
    )


def _who(row: dict[str, Any]) -> str:
    return f"{cell(row['who'])}@{cell(row['from'])}"
