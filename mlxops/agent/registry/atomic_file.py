"""Replace a file atomically: write a durable draft beside it, then rename the draft."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import BinaryIO, Callable, Iterator, Optional, Tuple

from ..clock import Deadline, wait_for
from . import sharing
from .lock import chown_to_folder_owner
from .lock_queue import try_lock

# Another program may hold a lock on the file itself for long; then go on without it.
CLAIM_TIMEOUT_S = 1.0
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
Stamp = Tuple[int, int, int]


def stamp_of(was: os.stat_result) -> Stamp:
    """A stamp that changes with the content of the file."""
    return was.st_ino, was.st_size, was.st_mtime_ns


def stamp_now(path: str) -> Optional[Stamp]:
    try:
        return stamp_of(os.stat(path))
    except FileNotFoundError:
        return None


def write_durably(f: BinaryIO, content: bytes, like: str, sync: Callable[[int], None]) -> None:
    """Write an open draft durably, with the owner, group and mode of the file `like`; OSError if
    that fails. The mode is set first, so that the content is never more readable than that file."""
    _take_after(f.fileno(), like)
    f.write(content)
    f.truncate()
    f.flush()
    sync(f.fileno())


def _take_after(fd: int, like: str) -> None:
    try:
        was = os.stat(like)
    except FileNotFoundError:
        os.fchmod(fd, sharing.file_mode(like))
        return chown_to_folder_owner(os.path.dirname(like), fd)
    mine, root = os.fstat(fd), os.geteuid() == 0
    if was.st_uid != mine.st_uid and not os.access(like, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # Only root can change the owner. If several accounts share a registry, the last writer owns it.
    if was.st_gid != mine.st_gid or (root and was.st_uid != mine.st_uid):
        os.fchown(fd, was.st_uid if root else -1, was.st_gid)
    os.fchmod(fd, stat.S_IMODE(was.st_mode))


@contextlib.contextmanager
def claim(path: str, stamp: Optional[Stamp]) -> Iterator[bool]:
    """Context in which no other command replaces the file; yields whether it still has that stamp.

    This protects against the removal of the lock file beside it: every writer holds an flock on the
    file that it replaces, so two that have read the same file cannot both replace it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        yield stamp is None
        return
    try:
        wait_for(lambda: _tried(fd), Deadline(CLAIM_TIMEOUT_S), interval_s=0.002)
        yield stamp == stamp_of(os.fstat(fd)) == stamp_now(path)
    finally:
        os.close(fd)


def _tried(fd: int) -> bool:
    try:
        return try_lock(fd)
    except OSError:  # some file systems cannot lock a file that is open for reading only
        return True


def replace_file(draft: str, path: str, stamp: Optional[Stamp]) -> None:
    """Rename a draft to its place; FileExistsError if there was no file (`stamp` None), and another
    process has created one."""
    if stamp is None:
        try:
            return os.link(draft, path)
        except OSError as exc:
            if exc.errno not in NO_LINKS:
                raise
    os.replace(draft, path)
