"""One reconcile per host file at a time on this machine, with a time limit that holds even if the
network hangs."""

from __future__ import annotations

import fcntl
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .. import alarms
from ..agent.errors import Failed, LinkLost, Locked, MlxopsError
from ..hosts.files import Host

# Not in XDG_STATE_HOME, which cron does not set: a shell must take the same lock.
STATE = Path(".local/state/mlxops")
PRUNE_AFTER_S = 90 * 86400.0
LATE_S = 900.0
"""Age of a run that hangs: a run has ended long before, at its time limit."""
KILL_AFTER_S = 10.0
"""Time from LinkLost to the end of the process, if the call does not return."""


@contextmanager
def exclusive(host: Host) -> Iterator[None]:
    """Hold the lock of this host file; Locked, with the holder, if another process has it."""
    path = lock_path(host)
    with _acquire(host, path) as file:
        _write_holder(file)
        _prune(path)
        yield


def _acquire(host: Host, path: Path) -> IO[str]:
    """The lock file, locked; opened again if it was pruned between open and lock."""
    while True:
        file = _open(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                age_s = time.time() - os.fstat(file.fileno()).st_mtime
                raise _locked_error(host, file.read(), age_s) from None
        if _is_current(file, path):
            return file
        file.close()


def _is_current(file: IO[str], path: Path) -> bool:
    """Whether this open file still has its name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _prune(own: Path) -> None:
    """Remove the files of host files that were not reconciled for months, each with its lock held,
    so that no process takes a lock that is about to be removed."""
    for path in own.parent.glob("reconcile-*.lock"):
        with suppress(OSError):
            if path == own or time.time() - path.stat().st_mtime < PRUNE_AFTER_S:
                continue
            with path.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_current(file, path):
                    for reported in path.parent.glob(f"{path.stem}.*told.json"):
                        reported.unlink(missing_ok=True)
                    path.unlink()


def lock_path(host: Host) -> Path:
    """The lock file of a host file."""
    key = zlib.crc32(os.fsencode(host.path.resolve()))
    return Path.home() / STATE / f"reconcile-{host.name}-{key:08x}.lock"


def reported_path(host: Host) -> Path:
    """The file with the faults that quiet runs for this host file have reported."""
    return lock_path(host).with_suffix(".told.json")


def notified_path(host: Host, command: str) -> Path:
    """The file with the faults that this notify command was given for this host file, in a folder
    that exists, if it can be made."""
    with suppress(OSError):
        _make_folder(lock_path(host))
    key = zlib.crc32(command.encode("utf-8", "replace"))
    return lock_path(host).with_suffix(f".{key:08x}.told.json")


def _open(path: Path) -> IO[str]:
    try:
        _make_folder(path)
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    except OSError as exc:
        raise Failed(
            f"cannot open {path}: {exc.strerror}", f"ls -ld {path.parent}", path=str(path)
        ) from None


def _make_folder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def _write_holder(file: IO[str]) -> None:
    since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    file.truncate(0)
    file.write(f"pid {os.getpid()} since {since}\n")
    file.flush()


def _locked_error(host: Host, holder: str, age_s: float) -> Locked:
    who = holder.strip() or "a process that has just started"
    return Locked(
        f"another reconcile of {host.name} is running on this machine: {who}",
        "wait until it ends, then run the command again",
        holder=who,
        held_s=round(age_s),
    )


def is_previous_run(error: MlxopsError) -> bool:
    """Whether the error only says that the run before this one has not ended yet."""
    return isinstance(error, Locked) and error.fields.get("held_s", LATE_S) < LATE_S


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise LinkLost inside after this many seconds; end the process KILL_AFTER_S later if the
    block has not ended."""
    fired = False

    def on_alarm() -> None:
        nonlocal fired
        if fired:
            os._exit(LinkLost.exit_code)
        fired = True
        raise LinkLost(
            f"gave up after {seconds:g} s",
            "mlxops status, or use a longer --timeout",
            seconds=seconds,
        )

    alarm = alarms.after(seconds, on_alarm, every=KILL_AFTER_S)
    try:
        yield
    finally:
        alarm.cancel()
