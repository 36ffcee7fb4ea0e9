"""The log of an entry's last start, also if it failed and another server is on the port now."""

from __future__ import annotations

import os
from typing import Iterator, NamedTuple, Optional

from ..context import Context
from ..jobs import log as joblog
from ..jobs.job import logs_folder
from ..site import log_path


class LastStart(NamedTuple):
    """`previous`: its log is that of the port's earlier server."""

    port: int
    previous: bool


def last_start(ctx: Context, entry: str) -> Optional[LastStart]:
    """The newest start of the entry whose log still exists, from the logs of jobs."""
    for start in _starts(ctx, entry):
        path = log_path(ctx.site.state_dir, start.port)
        for previous in (False, True):
            if _inode(path + ".1" if previous else path) == start.inode:
                return LastStart(start.port, previous)
    return None


class _Start(NamedTuple):
    port: int
    inode: int


def _starts(ctx: Context, entry: str) -> Iterator[_Start]:
    """The recorded starts of the entry, newest first."""
    folder = logs_folder(ctx.site.state_dir)
    for job in joblog.job_ids(folder):
        port, events = job.split("-")[1:2], list(joblog.events(joblog.log_path(folder, job)))
        for event in reversed(events):
            ours = event.get("event") == "server" and event.get("entry") == entry
            if ours and port and port[0].isdecimal() and isinstance(event.get("log"), int):
                yield _Start(int(port[0]), event["log"])


def _inode(path: str) -> Optional[int]:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
