"""Jobs and locks of the host."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from .format import age, ago, cell, duration, printable, timestamp, who
from .style import Style
from .table import Column, Listing, Row, table

NEWS_S = 86400
"""A failure is shown below the table for this long."""


def job_table(
    result: dict[str, Any], style: Style, everything: bool = False, about: str | None = None
) -> str:
    """One line per job, newest first; below them why jobs failed. With `everything` or -o wide also
    failures of more than a day ago, and those after which another job of the port succeeded.
    `about`: the port, slot or model whose jobs these are."""
    jobs = result["jobs"]
    if not jobs:
        return f"No jobs of {printable(about)} yet." if about else "No jobs yet."
    lines = [table(JOB_COLUMNS, jobs, style)]
    lines += (
        [f"{result['more']} older: mlxops jobs -n {len(jobs) + result['more']}"]
        if result.get("more")
        else []
    )
    failed = [job for job in jobs if job["message"] and job["state"] != "cancelled"]
    news = [job for job in failed if everything or style.wide or _is_news(job, jobs)]
    wrong = [f"{_id(job)} ({cell(job['why'])}): {printable(job['message'])}" for job in news]
    return "\n".join([*lines, *([""] if wrong else []), *wrong])


def _is_news(failed: Row, jobs: list[dict[str, Any]], now: Callable[[], float] = time.time) -> bool:
    """Whether a failure is of the last day, and no later job of its port succeeded."""
    began = timestamp(failed["since"])
    if began is not None and now() - began > NEWS_S:
        return False
    return not any(
        job["state"] == "done"
        and job.get("port") == failed.get("port")
        and str(job["since"]) > str(failed["since"])
        for job in jobs
    )


def _id(job: Row) -> str:
    return cell(job.get("short") or job["job"])


def _phase(job: Row, style: Style) -> str:
    """The phase of a running or killed job, with the progress of a download."""
    if job["state"] not in ("running", "died"):
        return cell(None)
    far = job.get("progress") or {}
    done, total = far.get("done"), far.get("total")
    if isinstance(done, int) and isinstance(total, int) and 0 <= done <= total and total:
        return f"{cell(job['phase'])} {100 * done // total} %"
    return cell(job["phase"])


def _took(job: Row) -> float | None:
    since, ended = timestamp(job["since"]), timestamp(job.get("ended"))
    return ended - since if since is not None and ended is not None else None


def _duration(seconds: float | None) -> str:
    """The times in a job's log are whole seconds."""
    if seconds is None or seconds >= 10:
        return duration(seconds)
    return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"


def lock_table(result: dict[str, Any], style: Style) -> str:
    """One line per lock that is held."""
    held = [lock for lock in result["locks"] if lock["held"]]
    return table(LOCK_COLUMNS, held, style) if held else "No lock is held."


def _lock(lock: Row) -> str:
    return f"port {lock['port']}" if lock["port"] else "registry"


def _held_by(lock: Row) -> str:
    """Why the lock is held; with the pid if the holder is not a job of mlxops."""
    return f"pid {lock['pid']}: {cell(lock['why'])}" if lock.get("outsider") else cell(lock["why"])


def ended_text(job: dict[str, Any]) -> str:
    """How and when a job ended: load jade 8103 failed 3 min ago, after 12 s."""
    state = {"done": "ended", "died": "was killed", "cancelled": "was cancelled"}
    words = [printable(job.get("why")), state.get(str(job.get("state")), cell(job.get("state")))]
    took = duration(_took(job))
    when = f"{ago(job['ended'])}, after {took}" if job.get("ended") else ""
    return " ".join([*words, *([when] if when else [])])


def job_outcome(result: dict[str, Any], style: Style) -> str:
    """One line: how a job ended."""
    if result.get("over"):
        return f"This job is over: {ended_text(result)}."
    state, message = cell(result["state"]), printable(result.get("message") or "")
    ending = [message] if message.startswith(state) else [state, *filter(None, [message])]
    return ": ".join([cell(result["why"]), *ending])


def _state(job: Row, style: Style) -> str:
    return style.job("killed" if job["state"] == "died" else cell(job["state"]))


def _who(row: Row, style: Style) -> str:
    return who(row["who"], row["from"])


JOB_COLUMNS = (
    Column(name="STATE", text=_state, keep=True),
    Column(name="WHAT", text=lambda j, _: cell(j["why"]), keep=True, shorten=16),
    Column(
        name="AGE",
        text=lambda j, _: age(j["since"]),
        key=lambda j: timestamp(j["since"]),
        weight=5,
        right=True,
        largest=True,
    ),
    Column(
        name="DURATION",
        text=lambda j, _: _duration(_took(j)),
        key=_took,
        weight=3,
        right=True,
        largest=True,
    ),
    Column(name="PHASE", text=_phase, weight=4),
    Column(name="WHO", text=_who, weight=2, shorten=10),
    Column(name="JOB", text=lambda j, _: _id(j), weight=1),
)
LOCK_COLUMNS = (
    Column(name="LOCK", text=lambda k, _: _lock(k), keep=True),
    Column(name="WHY", text=lambda k, _: _held_by(k), keep=True, shorten=20),
    Column(name="WHO", text=_who, weight=2, shorten=10),
    Column(
        name="AGE",
        text=lambda k, _: age(k["since"]),
        key=lambda k: timestamp(k["since"]),
        weight=3,
        right=True,
        largest=True,
    ),
    Column(name="PHASE", text=lambda k, _: cell(k["phase"]), weight=1),
)
JOBS = Listing("jobs", JOB_COLUMNS, itemgetter("job"))
LOCKS = Listing("locks", LOCK_COLUMNS, lambda k: k["held"] and (k["port"] or k["lock"]))
