"""The last things that happened on the ports, from the logs of jobs."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Mapping

from ..jobs import log as joblog
from ..jobs.job import logs_folder
from ..untrusted import read_bounded

MAX_EVENTS = 5
MAX_HEAD_BYTES, MAX_END_BYTES = 64 << 10, 16 << 10


class LastEvents:
    """The newest jobs that have ended. Their logs are read again only when the folder or the set of
    running jobs changed."""

    def __init__(self, state_dir: str) -> None:
        self._folder = logs_folder(state_dir)
        self._of: Any = None
        self._events: List[Dict[str, Any]] = []

    def after(self, running: Iterable[str]) -> List[Dict[str, Any]]:
        """The events, newest first. `running`: the ids of the jobs that hold a lock."""
        alive = frozenset(running)
        known = self._changed_at(), alive
        if known != self._of:
            self._of = known
            ended = [job for job in joblog.job_ids(self._folder) if job not in alive]
            self._events = [_event(self._folder, job) for job in ended[:MAX_EVENTS]]
        return self._events

    def _changed_at(self) -> Any:
        try:
            return os.stat(self._folder).st_mtime_ns
        except OSError:
            return None


def _event(folder: str, job: str) -> Dict[str, Any]:
    """One job, from the first and the last line of its log: a download can make it long."""
    path = joblog.log_path(folder, job)
    begin = _line((read_bounded(path, MAX_HEAD_BYTES) or b"").splitlines()[:1], "begin")
    end = _line((read_bounded(path, MAX_END_BYTES, end=True) or b"").splitlines()[-1:], "end")
    error = end.get("error")
    error = error if isinstance(error, dict) else {}
    state = joblog.outcome(error) if end else "died"
    return {
        "job": job,
        "state": state,
        **{key: begin.get(key) for key in ("port", "why", "who", "from", "since")},
        "ended": end.get("at"),
        "message": error.get("message"),
        "next": error.get("hint") or (begin.get("again") if state == "died" else None),
    }


def _line(lines: List[bytes], kind: str) -> Mapping[str, Any]:
    event = joblog.parse_event(lines[0].decode("utf-8", "replace")) if lines else {}
    return event if event.get("event") == kind else {}
