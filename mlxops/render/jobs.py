"""Jobs and locks of the host."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .format import ago, cell, duration, printable, timestamp
from .style import Style
from .table import Column, Listing, Row, table


def job_table(result: dict[str, Any], style: Style) -> str:
    """One line per job, newest first; below them the messages of those that failed."""
    jobs = result["jobs"]
    if not jobs:
        return "No jobs yet."
    lines = [table(JOB_COLUMNS, jobs, style)]
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


def _phase(job: Row) -> str:
    """The phase of a running job, with the progress of a download."""
    if job["state"] != "running":
        return cell(None)
    far = job.get("progress") or {}
    done, total = far.get("done"), far.get("total")
    if isinstance(done, int) and isinstance(total, int) and 0 <= done <= total and total:
        return f"{cell(job['phase'])} {100 * done // total} %"
    return cell(job["phase"])


def _took(job: Row) -> float | None:
    since, ended = timestamp(job["since"]), timestamp(job.get("ended"))
    return ended - since if since is not None and ended is not None else None


def lock_table(result: dict[str, Any], style: Style) -> str:
    """One line per lock that is held."""
    held = [lock for lock in result["locks"] if lock["held"]]
    return table(LOCK_COLUMNS, held, style) if held else "No lock is held."


def _lock(lock: Row) -> str:
    return f"port {lock['port']}" if lock["port"] else "registry"


def _held_by(lock: Row) -> str:
    """Why the lock is held; with the pid if the holder is not a job of mlxops."""
    return f"pid {lock['pid']}: {cell(lock['why'])}" if lock.get("outsider") else cell(lock["why"])


def job_outcome(result: dict[str, Any], style: Style) -> str:
    """One line: how a job ended."""
    message = f": {printable(result['message'])}" if result.get("message") else ""
    return f"{cell(result['why'])}: {cell(result['state'])}{message}"


def _state(job: Row) -> str:
    return (
        f"killed in {cell(job['phase'] or 'claim')}"
        if job["state"] == "died"
        else cell(job["state"])
    )


def _who(row: Row) -> str:
    return f"{cell(row['who'])}@{cell(row['from'])}"


JOB_COLUMNS = (
    Column(name="STATE", text=lambda j, _: _state(j), keep=True),
    Column(name="WHAT", text=lambda j, _: cell(j["why"]), keep=True, shorten=20),
    Column(name="STARTED", text=lambda j, _: ago(j["since"]), weight=5, right=True),
    Column(name="TOOK", text=lambda j, _: duration(_took(j)), key=_took, weight=4, right=True),
    Column(name="PHASE", text=lambda j, _: _phase(j), weight=3),
    Column(name="WHO", text=lambda j, _: _who(j), weight=2, shorten=12),
    Column(name="JOB", text=lambda j, _: cell(j["job"]), weight=1),
)
LOCK_COLUMNS = (
    Column(name="LOCK", text=lambda k, _: _lock(k), keep=True),
    Column(name="WHY", text=lambda k, _: _held_by(k), keep=True, shorten=20),
    Column(name="WHO", text=lambda k, _: _who(k), weight=2, shorten=12),
    Column(name="SINCE", text=lambda k, _: ago(k["since"]), weight=3, right=True),
    Column(name="PHASE", text=lambda k, _: cell(k["phase"]), weight=1),
)
JOBS = Listing("jobs", JOB_COLUMNS, itemgetter("job"))
LOCKS = Listing("locks", LOCK_COLUMNS, lambda k: k["held"] and (k["port"] or k["lock"]))
