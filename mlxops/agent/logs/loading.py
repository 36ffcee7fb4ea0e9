"""Report a server that loads: the new lines of its log, and how much of the weights is in
memory."""

from __future__ import annotations

import os
from typing import Optional

from ..context import Context
from ..errors import Failed
from ..jobs.job import Job
from ..models import cache as hfcache
from ..procs import Unobservable, tree
from ..ranks.other_hosts import shard_count
from ..registry.entries import Entry
from ..site import log_path
from .tail import FollowedFile, TailStart, open_log

# Below this, the server program itself uses as much memory as the model.
MIN_WEIGHTS_BYTES = 1 << 30
# Lines of a log that is written without a pause.
MAX_LINES_AT_ONCE = 200


class LoadingReport:
    """Sends the progress of one start, each time it is called. A context that closes the log."""

    def __init__(self, ctx: Context, job: Job, entry: Optional[Entry], pid: int) -> None:
        self._ctx, self._job, self._pid = ctx, job, pid
        weights = hfcache.weights_bytes(entry.cache_path) if entry else None
        own = weights // shard_count(entry) if weights and entry else 0
        self._weights = own if own >= MIN_WEIGHTS_BYTES else None
        self._log: Optional[FollowedFile] = None
        try:
            log = open_log(log_path(ctx.site.state_dir, job.port))
            self._log = FollowedFile(log, TailStart(0, 0))
        except (OSError, Failed):
            pass

    def __enter__(self) -> LoadingReport:
        return self

    def __exit__(self, *exc: object) -> None:
        self._send_log()
        if self._log is not None:
            self._log.close()

    def begin(self, usual: Optional[float], limit: float) -> None:
        """The start begins; `usual` and `limit` in seconds."""
        text = "" if usual is None else ", usually %.0f s" % usual
        self._job.phase(
            "wait",
            "waiting for the server" + text,
            usual_s=usual,
            limit_s=limit,
        )

    def __call__(self) -> None:
        self._send_log()
        used = self._used_bytes()
        if used is not None and self._weights:
            done = min(used, self._weights)
            self._job.emit("progress", phase="wait", done=done, total=self._weights)

    def _used_bytes(self) -> Optional[int]:
        try:
            processes = self._ctx.procs.processes()
            return self._ctx.procs.footprint(tree(processes, self._pid))
        except Unobservable:
            return None

    def _send_log(self) -> None:
        """Send the new lines to the client only: the log itself keeps them."""
        lines = self._log.more(os.devnull) if self._log is not None else []
        for line in lines[-MAX_LINES_AT_ONCE:]:
            self._ctx.client.emit("log", port=self._job.port, line=line)
