"""Work on one port: its lock, which says who does what since when, and the log of its events."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Dict, List, Mapping, Optional

from .failures import as_error
from .life import Client
from .lock import FileLock
from .store import now

KEPT_LOGS = 50
# Longer than a look at the lock can take, shorter than a person notices.
LOCK_WAIT_S = 0.3


def lock_path(registry_path: str, port: int) -> str:
    return "%s.%d.lock" % (registry_path, port)


def folder(state_dir: str) -> str:
    """Where the logs of jobs are."""
    return os.path.join(state_dir, "jobs")


def log_path(folder: str, job: str) -> str:
    return os.path.join(folder, job + ".jsonl")


def holder(registry_path: str, port: int) -> Optional[Dict[str, Any]]:
    """Who works on the port now; None when nobody does."""
    return FileLock(lock_path(registry_path, port)).holder()


class Job:
    """One load or unload of a port, from claim to end. Use as a context: the lock is held inside."""

    def __init__(self, client: Client, registry_path: str, state_dir: str, held: Mapping[str, Any]) -> None:
        port = held["port"]
        self.id = "%s-%d-%d" % (time.strftime("%Y%m%dT%H%M%S", time.gmtime()), port, os.getpid())
        self._client = client
        self._folder = folder(state_dir)
        self._lock = FileLock(lock_path(registry_path, port))
        self._held = {**held, "since": now(), "pid": os.getpid(), "job": self.id}

    def __enter__(self) -> Job:
        self._lock.acquire({**self._held, "phase": "claim"}, LOCK_WAIT_S)
        self._keep("begin", self._held)
        return self

    def __exit__(self, _: object, exc: Optional[BaseException], __: object) -> None:
        error = as_error(exc).to_wire() if isinstance(exc, Exception) else None
        self._keep("end", {"error": error})
        self._lock.release()
        self._prune()

    def phase(self, phase: str, message: str) -> None:
        """What happens now, for the client, for the log and for whoever looks at the lock."""
        self._lock.describe({**self._held, "phase": phase})
        self.emit("phase", phase=phase, message=message)

    def warn(self, message: str) -> None:
        self.emit("warning", message=message)

    def emit(self, name: str, **fields: Any) -> None:
        """One event, to the client and to the log, which outlives the client."""
        self._client.emit(name, **fields)
        self._keep(name, fields)

    def _keep(self, name: str, fields: Mapping[str, Any]) -> None:
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with open(log_path(self._folder, self.id), "a") as f:
                f.write(json.dumps({"at": now(), "event": name, **fields}) + "\n")
        except OSError:
            # The log informs; a full disk must not end the work it tells about.
            return

    def _prune(self) -> None:
        for name in old_logs(self._folder):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._folder, name))


def old_logs(folder: str) -> List[str]:
    """The names of the job logs beyond the newest that are kept."""
    try:
        names = sorted(n for n in os.listdir(folder) if n.endswith(".jsonl"))
    except OSError:
        return []
    return names[:-KEPT_LOGS]
