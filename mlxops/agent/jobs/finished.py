"""The record of finished jobs: one line each, kept for much longer than their logs."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Dict, Mapping, Optional

from ..line_file import append
from .log import JobRecord, old_logs, outcome, read_job

FILE = "jobs.jsonl"
# About 2,000 jobs; one older file is kept.
MAX_BYTES = 1 << 20
MAX_MESSAGE = 500


def finished_path(state_dir: str) -> str:
    return os.path.join(state_dir, FILE)


def finished(
    about: Mapping[str, Any], state: Mapping[str, Any], error: Optional[Mapping[str, Any]]
) -> JobRecord:
    """The record of a job that ends now, from its description and the state in its lock."""
    return JobRecord(
        job=about["job"],
        state=outcome(error),
        begin_event=about,
        phase=state.get("phase"),
        error=error,
        ended=state.get("ended"),
    )


def record_finished(state_dir: str, job: JobRecord, facts: Mapping[str, Any]) -> None:
    """Record the end of a job. Best effort: it has ended in any case.

    `facts`: of a load or unload, what it did: entry, previous, start_s, memory_bytes, …"""
    append(finished_path(state_dir), {**_line(job), **facts}, MAX_BYTES)


def _line(job: JobRecord) -> Dict[str, Any]:
    begun = {key: job.begin_event.get(key) for key in ("port", "why", "who", "from", "since")}
    return {
        "job": job.job,
        "state": job.state,
        **begun,
        "ended": job.ended,
        "phase": job.phase,
        "error": _short(job.error),
    }


def _short(error: Optional[Mapping[str, Any]]) -> Optional[Dict[str, str]]:
    if not error:
        return None
    message = str(error.get("message"))
    return {"kind": str(error.get("kind")), "message": message[:MAX_MESSAGE]}


def prune_logs(state_dir: str, folder: str, keep: str) -> None:
    """Remove all job logs but the newest and this job's own. A killed job is recorded first: its
    log is all that shows it."""
    for name in set(old_logs(folder)) - {keep + ".jsonl"}:
        killed = read_job(folder, name[: -len(".jsonl")], running=False)
        if killed.state == "died":
            record_finished(state_dir, killed, {})
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))
