"""An flock on a file that is never deleted and says who holds it, from where, since when and why.

The kernel releases the lock when its holder dies, so a dead holder never blocks; the text in the
file is only informative. It stays after the release and then describes the last holder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shlex
import stat
import time
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

from ..clock import Deadline
from ..errors import DISK_FULL_ERRNOS, Failed, Locked, write_error
from . import sharing
from .lock_queue import QueuePlace, acquire_within, try_lock

# A writer may be in the middle of its text at each read.
TRIES = 5
# From taking a lock to its description, on a busy machine.
DESCRIBE_TIMEOUT_S = 0.5
DESCRIBE_INTERVAL_S = 0.02
# Attempts that found the file removed or replaced after the wait.
MAX_REPLACEMENTS = 1000


class FileLock:
    """Exclusive between processes. Not reentrant. `turn`: waiters queue on a lock of the folder.

    `registry`: the file that the lock is beside. Its group may use the lock if it may write the
    file; else only the owner may open it, so that no other user can hold it. `on_wait` gets the
    description of the holder, once, if taking the lock takes long."""

    def __init__(
        self,
        path: str,
        turn: bool = False,
        registry: Optional[str] = None,
        on_wait: Optional[Callable[[str], None]] = None,
    ) -> None:
        self.path = path
        self._on_wait = on_wait
        self._registry = registry
        self._turn = QueuePlace(os.path.dirname(path)) if turn else None
        self._fd: Optional[int] = None

    def acquire(self, holder: Dict[str, Any], wait_s: float) -> None:
        """Take the lock within `wait_s` seconds and write `holder` into it; else Locked, with the
        fields of its holder."""
        self.take(wait_s)
        # On a full disk only the description is lost, not the lock.
        with contextlib.suppress(OSError):
            self.describe(holder)

    def take(self, wait_s: float) -> None:
        """As acquire, but leave the text of the last holder."""
        deadline = Deadline(wait_s)
        try:
            if self._turn:
                self._turn.take(deadline, self._report_wait)
            self._fd = self._gained(deadline)
        finally:
            if self._turn:
                self._turn.leave()

    def _gained(self, deadline: Deadline) -> int:
        """Lock the file that has the name now: one that was removed during the wait protects
        nothing."""
        for _ in range(MAX_REPLACEMENTS):
            fd = self._open()
            with _naming(self.path):
                if not acquire_within(fd, deadline, self._report_wait):
                    raise self._locked()
            if self._named(fd):
                return fd
            os.close(fd)
        raise Failed(
            "something keeps removing the lock %s" % self.path,
            "stop the program that removes it",
            lock=self.path,
        )

    def _report_wait(self) -> None:
        if self._on_wait is not None:
            report, self._on_wait = self._on_wait, None
            report(describe_holder(self._identify(self.peek()[1]) or {}))

    def _named(self, fd: int) -> bool:
        """Whether this open file is the one with the lock's name."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        mine = os.fstat(fd)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    @property
    def lost(self) -> bool:
        """Whether the lock was lost because its file was removed or replaced: others can take the
        new file."""
        return self._fd is not None and not self._named(self._fd)

    def reacquire(self) -> bool:
        """If the locked file was removed, lock the one that has the name now; False if another
        process holds it."""
        if self._fd is None or not self.lost:
            return True
        fd = self._open()
        if not try_lock(fd):
            os.close(fd)
            return False
        os.close(self._fd)
        self._fd = fd
        return True

    def describe(self, holder: Dict[str, Any]) -> None:
        """Replace the description of the holder; OSError if it cannot be written."""
        if self._fd is None:
            return
        text = json.dumps(holder).encode() + b"\n"
        # Overwrite all of a longer text before truncating: a reader in between sees blanks, not the
        # end of the old text.
        whole = text.ljust(os.fstat(self._fd).st_size)
        if os.pwrite(self._fd, whole, 0) < len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        os.ftruncate(self._fd, len(text))

    def clear(self) -> None:
        """Remove the description; this needs no disk space."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def holder(self, shared: bool = False) -> Optional[Dict[str, Any]]:
        """Who else holds it; None if it is free. For `shared` see peek()."""
        is_held, record = self.peek(shared)
        return self._identify(record, shared) if is_held else None

    def _identify(self, record: Dict[str, Any], shared: bool = False) -> Optional[Dict[str, Any]]:
        """The actual holder; None if it has released the lock. A holder that has only just taken
        the lock has not described itself yet and looks like an outsider: retry for a moment."""
        from .holders import actual_holder

        holder = actual_holder(self.path, record)
        deadline = Deadline(DESCRIBE_TIMEOUT_S)
        while holder.get("outsider") and not deadline.passed:
            time.sleep(DESCRIBE_INTERVAL_S)
            is_held, record = self.peek(shared)
            # Without `shared` a LOCK_SH, which blocks too, is not counted.
            if shared and not is_held:
                return None
            holder = actual_holder(self.path, record)
        return holder

    def peek(self, shared: bool = False) -> Tuple[bool, Dict[str, Any]]:
        """Whether another process holds it, and its text, of this or of the last holder.

        `shared`: also count LOCK_SH, which keeps others from taking the lock. This takes the lock
        itself for a moment."""
        try:
            fd = self._opened(os.O_RDONLY)
        except FileNotFoundError:
            return False, {}
        except PermissionError:
            # A lock of another user, which cannot be read and blocks none of our commands.
            return False, {}
        try:
            with _naming(self.path):
                return _is_blocked(fd, fcntl.LOCK_EX if shared else fcntl.LOCK_SH), _read(fd)
        finally:
            os.close(fd)

    def _open(self) -> int:
        folder = os.path.dirname(self.path)
        try:
            fd = self._opened(os.O_RDWR | os.O_CREAT)
            chown_to_folder_owner(folder, fd)
            sharing.set_lock_mode(fd, self._registry)
            return fd
        except OSError as exc:
            if exc.errno in (*DISK_FULL_ERRNOS, errno.EROFS):
                raise write_error(exc, self.path) from exc
            hint = "on the host: ls -ld %s %s; this account must be able to write both" % (
                folder,
                self.path,
            )
            raise Failed(
                "cannot open the lock %s: %s" % (self.path, exc.strerror), hint, lock=self.path
            ) from exc

    def _opened(self, how: int) -> int:
        """Open without blocking on a FIFO, and without following a link."""
        try:
            fd = os.open(
                self.path,
                how | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC,
                sharing.lock_mode(self._registry),
            )
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.EISDIR):
                raise self._not_a_file() from exc
            raise
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise self._not_a_file()
        return fd

    def _not_a_file(self) -> Failed:
        what = "link" if os.path.islink(self.path) else "folder or device"
        text = "the lock %s is a %s, not a file" % (self.path, what)
        return Failed(
            text, "on the host: mv %s %s.old" % ((shlex.quote(self.path),) * 2), lock=self.path
        )

    def _locked(self) -> Locked:
        holder = self._identify(self.peek()[1]) or {}
        return Locked(
            "locked: " + describe_holder(holder), holder_hint(holder), lock=self.path, holder=holder
        )


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Add the path to errors of flock and read, which do not have it."""
    try:
        yield
    except OSError as exc:
        exc.filename = exc.filename or path
        raise


def _is_blocked(fd: int, kind: int) -> bool:
    """Whether another process blocks such a lock. Retry, as one that peeks holds it for
    microseconds."""
    for number in range(TRIES):
        if try_lock(fd, kind):
            fcntl.flock(fd, fcntl.LOCK_UN)
            return False
        time.sleep(0.001 * number)
    return True


def chown_to_folder_owner(folder: str, fd: int) -> None:
    """Give a file that root creates in a user's folder to the user, so that one sudo does not lock
    out all later commands.

    `fd` must have been opened without following links, and a file with a second hard link is left
    alone: either may lead out of the folder."""
    owner, made = os.stat(folder), os.fstat(fd)
    if owner.st_uid and os.geteuid() == 0 and (made.st_uid, made.st_nlink) == (0, 1):
        os.fchown(fd, owner.st_uid, owner.st_gid)


def describe_holder(held: Mapping[str, Any]) -> str:
    """Describe the holder of a lock in a phrase."""
    if held.get("outsider"):
        return "held by pid %s (%s) of user %s" % (held["pid"], held["why"], held["who"])
    if not held:
        return "held by a process that cannot be identified"
    return "%s by %s from %s since %s" % tuple(
        held.get(key, "unknown") for key in ("why", "who", "from", "since")
    )


def holder_hint(held: Mapping[str, Any]) -> str:
    """The hint for a lock that should only be held for a moment."""
    if held.get("outsider"):
        return (
            "on the host: check it with ps -fp %s and end it; then run the command again"
            % held["pid"]
        )
    return "wait for it to end, then run the command again"


def _read(fd: int) -> Dict[str, Any]:
    """The parsed text, {} if there is none. Retries, as a writer may be in the middle of it."""
    for _ in range(TRIES):
        record = _parsed(fd)
        if record is not None:
            return record
        time.sleep(0.001)
    return {}


def _parsed(fd: int) -> Optional[Dict[str, Any]]:
    """None if the text is not JSON."""
    try:
        record = json.loads(os.pread(fd, 65536, 0) or b"{}")
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else {}
