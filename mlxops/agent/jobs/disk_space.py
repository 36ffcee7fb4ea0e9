"""The room on disk that a job needs to its end and back: taken before it stops a server, as files
that exist.

Per port: drafts for the registry, room behind the history and the locks' texts, two logs for
servers, the folder they run in. What is not used is removed at the end."""

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
from .job import folder, lock_path

# What an edit adds to the registry at the most: the words of a command line, a template among them.
GROWTH_BYTES = 32 << 10
HISTORY_BYTES, JOB_BYTES = 8 << 10, 32 << 10
LOCK_BYTES = 4 << 10
# What a server writes until it serves, and a day's requests.
LOG_BYTES = 256 << 10
# A load: assign, note that it serves; back: clear, assign, note. An eviction: clear, forget; back:
# assign, note.
LOAD_EDITS, EVICTION_EDITS, UNLOAD_EDITS = 5, 4, 1
FILL_BYTES = 64 << 10
WORD = ".room-"


class DiskReservation:
    """A context. `mark` tells a rehearsal's files from those of a job, which holds the port's
    lock."""

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
        """Room for so many edits of the registry and so many starts on the port; NotEnoughDisk, or
        Failed where a folder cannot be written."""
        try:
            self._take_edits(port, edits)
            for number in range(servers):
                self._take_log(port, number)
        except BaseException:
            self.__exit__()
            raise

    def check_writable(self) -> None:
        """All of it can still be written to: a disk may have been remounted, or a folder closed,
        since it was taken."""
        for path in self._made:
            if os.path.lexists(path):
                with _telling(path):
                    os.close(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
                    if not os.access(os.path.dirname(path), os.W_OK | os.X_OK):
                        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def reserve_job_log(self, path: str) -> None:
        """Room for a job's own log, which exists."""
        self._extend(path, JOB_BYTES, 0o600)

    def check_folder(self, place: str) -> None:
        """A folder in which a job will make its log can be written to."""
        path = os.path.join(place, WORD + self._mark)
        with _telling(path):
            os.makedirs(place, mode=0o700, exist_ok=True)
        self._make(path, JOB_BYTES)

    def take_log(self, port: int) -> Optional[str]:
        """A file that is to become the port's log; None when there is none left."""
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
        _refuse_limit(registry, size)
        # Each edit writes the new file and a copy of it; the first one may have to keep what a
        # person wrote.
        for number in range(2 * edits + 1):
            path = "%s%s%d-%d%s" % (registry, WORD, port, number, self._mark)
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
            with _telling(os.path.join(made, "")):
                os.makedirs(made, mode=0o700, exist_ok=True)
        _refuse_limit(log, LOG_BYTES)
        path = "%s%s%d%s" % (log, WORD, number, self._mark)
        self._make(path, LOG_BYTES)
        self._logs.append((port, path))

    def _make(self, path: str, size: int) -> None:
        with _telling(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self._made.append(path)
            fd = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            # Open until the end: on macOS the room may go with the last descriptor.
            self._open.callback(os.close, fd)
            chown_to_folder_owner(os.path.dirname(path), fd)
            if not self._procs.reserve(fd, size):
                _fill(fd, size)
            os.fsync(fd)

    def _extend(self, path: str, size: int, mode: int) -> None:
        """Room behind the end of a file that others may write to, too."""
        with _telling(path):
            how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(path, how, mode)
            self._open.callback(os.close, fd)
            chown_to_folder_owner(os.path.dirname(path), fd)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._procs.reserve(fd, size)


@contextlib.contextmanager
def _telling(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise write_error(exc, path, "; nothing was stopped") from exc


def _fill(fd: int, size: int) -> None:
    """Show that there is room, on a file system that cannot hold it without content."""
    for _ in range(-(-size // FILL_BYTES)):
        os.write(fd, bytes(FILL_BYTES))
    os.fsync(fd)
    os.ftruncate(fd, 0)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _refuse_limit(path: str, size: int) -> None:
    """Blocks behind the end of a file are given beyond the limit of the login, which the write
    meets later."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and limit < size:
        text = "%s (ulimit -f: %d bytes, needed: %d)" % (os.strerror(errno.EFBIG), limit, size)
        raise write_error(OSError(errno.EFBIG, text), path, "; nothing was stopped")


def disk_reservation(ctx: Context, mark: str = "") -> DiskReservation:
    return DiskReservation(ctx.site, ctx.store, ctx.procs, mark)


def disk_space_error(ctx: Context, port: int) -> Optional[MlxopsError]:
    """Why a load on the port would be refused; None when it has its room."""
    try:
        with disk_reservation(ctx, ".try%d" % os.getpid()) as room:
            room.reserve(port, LOAD_EDITS, 2)
            room.check_folder(folder(ctx.site.state_dir))
    except MlxopsError as exc:
        return exc
    return None
