"""Reserve the disk space a job needs, rollback included, before it stops a server.

Per port: drafts of the registry, space after the end of the history and of the lock files, two
server logs, and the servers' working folder. Unused files are removed at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any, Iterator, List, Optional, Tuple

from ..context import Context
from ..errors import MlxopsError, write_error
from ..procs import Procs
from ..registry import sharing
from ..registry.lock import chown_to_folder_owner
from ..registry.store import Store
from ..site import Site, log_path, run_folder
from .job import lock_path, logs_folder

# The most that an edit adds to the registry: a command line, which may hold a template.
GROWTH_BYTES = 32 << 10
HISTORY_BYTES, JOB_BYTES = 8 << 10, 32 << 10
LOCK_BYTES = 4 << 10
# A server's output until it is ready, and of a day's requests.
LOG_BYTES = 256 << 10
# A load: assign, record ready; rollback: clear, assign, record. An eviction: clear, forget;
# rollback: assign, record.
LOAD_EDITS, EVICTION_EDITS, UNLOAD_EDITS = 5, 4, 1
FILL_BYTES = 64 << 10
PREFIX = ".room-"


class DiskReservation:
    """A context that holds reserved files. `mark`: a suffix for the files of a trial, which does
    not hold the port's lock."""

    def __init__(self, site: Site, store: Store, procs: Procs, mark: str = "") -> None:
        self._site, self._store, self._procs, self._mark = site, store, procs, mark
        self._made: List[str] = []
        self._logs: List[Tuple[int, str]] = []
        self._open = contextlib.ExitStack()

    def __enter__(self) -> DiskReservation:
        return self

    def __exit__(self, *_: Any) -> None:
        self._open.close()
        for path in self._made:
            with contextlib.suppress(ValueError):
                self._store.drafts.remove(path)
            with contextlib.suppress(OSError):
                os.unlink(path)

    def reserve(self, port: int, edits: int, servers: int) -> None:
        """Reserve space for this many registry edits and server starts; NotEnoughDisk, or Failed if
        a folder is not writable."""
        try:
            self._take_edits(port, edits)
            for number in range(servers):
                self._take_log(port, number)
        except BaseException:
            self.__exit__()
            raise

    def check_writable(self) -> None:
        """Check that all of it is still writable: a disk may have been remounted, or permissions
        changed."""
        for path in self._made:
            if os.path.lexists(path):
                with _as_write_error(path):
                    os.close(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
                    if not os.access(os.path.dirname(path), os.W_OK | os.X_OK):
                        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def reserve_job_log(self, path: str) -> None:
        """Reserve space for the job's own log, which exists."""
        self._extend(path, JOB_BYTES, 0o600)

    def check_folder(self, place: str) -> None:
        """Check that a job can create its log in the folder."""
        path = os.path.join(place, PREFIX + self._mark)
        with _as_write_error(path):
            os.makedirs(place, mode=0o700, exist_ok=True)
        self._make(path, JOB_BYTES)

    def take_log(self, port: int) -> Optional[str]:
        """A reserved file that becomes the port's log; None if none is left."""
        for row in self._logs:
            if row[0] == port:
                self._logs.remove(row)
                return row[1]
        return None

    def _take_edits(self, port: int, edits: int) -> None:
        registry = self._site.registry
        if not edits:
            return
        size = _size(registry) + GROWTH_BYTES
        _require_size_limit(registry, size)
        # Each edit writes the new file and a copy; the first may also back up a manual change.
        for number in range(2 * edits + 1):
            path = "%s%s%d-%d%s" % (registry, PREFIX, port, number, self._mark)
            self._make(path, size)
            if not self._mark:
                self._store.drafts.append(path)
        self._extend(self._store.history, HISTORY_BYTES, sharing.file_mode(registry) & 0o664)
        self._extend(registry + ".lock", LOCK_BYTES, sharing.lock_mode(registry))
        if not self._mark:
            self._extend(lock_path(registry, port), LOCK_BYTES, sharing.lock_mode(registry))

    def _take_log(self, port: int, number: int) -> None:
        log, place = log_path(self._site.state_dir, port), run_folder(self._site.state_dir, port)
        for made in (os.path.dirname(log), os.path.dirname(place), place):
            with _as_write_error(os.path.join(made, "")):
                os.makedirs(made, mode=0o700, exist_ok=True)
        _require_size_limit(log, LOG_BYTES)
        path = "%s%s%d%s" % (log, PREFIX, number, self._mark)
        self._make(path, LOG_BYTES)
        self._logs.append((port, path))

    def _make(self, path: str, size: int) -> None:
        with _as_write_error(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self._made.append(path)
            fd = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            # Keep it open: macOS may drop the reservation with the last descriptor.
            self._open.callback(os.close, fd)
            chown_to_folder_owner(os.path.dirname(path), fd)
            if not self._procs.reserve(fd, size):
                _fill(fd, size)
            os.fsync(fd)

    def _extend(self, path: str, size: int, mode: int) -> None:
        """Reserve space after the end of a file that others may write to."""
        with _as_write_error(path):
            how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(path, how, mode)
            self._open.callback(os.close, fd)
            chown_to_folder_owner(os.path.dirname(path), fd)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._procs.reserve(fd, size)


@contextlib.contextmanager
def _as_write_error(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise write_error(exc, path, "; nothing was stopped") from exc


def _fill(fd: int, size: int) -> None:
    """Check for space on a file system that cannot reserve it without content."""
    for _ in range(-(-size // FILL_BYTES)):
        os.write(fd, bytes(FILL_BYTES))
    os.fsync(fd)
    os.ftruncate(fd, 0)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _require_size_limit(path: str, size: int) -> None:
    """Refuse a size above the login's limit: reserving ignores it, and the write fails later."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and limit < size:
        text = "%s (ulimit -f: %d bytes, needed: %d)" % (os.strerror(errno.EFBIG), limit, size)
        raise write_error(OSError(errno.EFBIG, text), path, "; nothing was stopped")


def disk_reservation(ctx: Context, mark: str = "") -> DiskReservation:
    return DiskReservation(ctx.site, ctx.store, ctx.procs, mark)


def disk_space_error(ctx: Context, port: int) -> Optional[MlxopsError]:
    """Why a load on the port would be refused; None if there is enough space."""
    try:
        with disk_reservation(ctx, ".try%d-%d" % (os.getpid(), port)) as room:
            room.reserve(port, LOAD_EDITS, 2)
            room.check_folder(logs_folder(ctx.site.state_dir))
    except MlxopsError as exc:
        return exc
    return None
