"""An flock on a file that is never deleted and says who holds it, from where, since when and why.

The kernel drops the lock when its holder dies, so a dead holder never blocks; the text in the file only informs.
The text stays when the lock is free: what the last holder said of itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from typing import Any, Dict, Mapping, Optional, Tuple

from .deadline import Deadline
from .errors import Failed, Locked
from .failures import NO_ROOM, unwritten
from .turnstile import Turn, gain, try_lock

# A writer may be in the middle of its text each time it is looked at.
TRIES = 5


class FileLock:
    """Exclusive between processes. Not reentrant. `turn`: who waits queues up at the folder."""

    def __init__(self, path: str, turn: bool = False) -> None:
        self.path = path
        self._turn = Turn(os.path.dirname(path)) if turn else None
        self._fd: Optional[int] = None

    def acquire(self, holder: Dict[str, Any], wait_s: float) -> None:
        """Take the lock within `wait_s` seconds and write `holder` into it; else Locked, with the other's fields."""
        self.take(wait_s)
        # The lock itself holds; only its description is lost on a full disk.
        with contextlib.suppress(OSError):
            self.describe(holder)

    def take(self, wait_s: float) -> None:
        """As acquire, but what the last holder said stays."""
        fd, deadline = self._open(), Deadline(wait_s)
        try:
            if self._turn:
                self._turn.take(deadline)
            if not gain(fd, deadline):
                raise self._locked()
            self._fd = fd
        finally:
            if self._turn:
                self._turn.leave()

    def describe(self, holder: Dict[str, Any]) -> None:
        """Replace what the lock says of its holder; OSError where it cannot be written."""
        if self._fd is None:
            return
        text = json.dumps(holder).encode() + b"\n"
        # Over all of a longer text before its end is cut: who looks in between reads blanks, not a rest.
        os.pwrite(self._fd, text.ljust(os.fstat(self._fd).st_size), 0)
        os.ftruncate(self._fd, len(text))

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def holder(self) -> Optional[Dict[str, Any]]:
        """What the lock says while somebody else holds it; None when it is free."""
        held, text = self.look()
        return text if held else None

    def look(self) -> Tuple[bool, Dict[str, Any]]:
        """Whether somebody else holds it, and what it says of that one, or of the last one."""
        try:
            fd = self._opened(os.O_RDONLY)
        except FileNotFoundError:
            return False, {}
        try:
            # A shared try is over in microseconds; those who want the lock wait for longer than that.
            return not try_lock(fd, fcntl.LOCK_SH), _read(fd)
        finally:
            os.close(fd)

    def _open(self) -> int:
        folder = os.path.dirname(self.path)
        try:
            fd = self._opened(os.O_RDWR | os.O_CREAT)
            give_to_owner_of(folder, fd)
            return fd
        except OSError as exc:
            if exc.errno in (*NO_ROOM, errno.EROFS):
                raise unwritten(exc, self.path) from exc
            raise Failed(
                "cannot open the lock %s: %s" % (self.path, exc.strerror), "check that %s exists and is yours" % folder
            ) from exc

    def _opened(self, how: int) -> int:
        """Never waiting for the other end of a FIFO, nor through a link that somebody planted."""
        fd = os.open(self.path, how | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Failed("the lock %s is no file" % self.path, "remove it on the host", lock=self.path)
        return fd

    def _locked(self) -> Locked:
        fd = self._opened(os.O_RDONLY)
        try:
            held = _read(fd)
        finally:
            os.close(fd)
        hint = "wait for it to end, then run the command again"
        return Locked("locked: " + story(held), hint, lock=self.path, holder=held)


def give_to_owner_of(folder: str, fd: int) -> None:
    """Made by root in a user's folder, a file is the user's: one sudo must not shut out every later command.

    `fd` must have been opened without following a link, and no second name counts: neither may lead out of the folder.
    """
    owner, made = os.stat(folder), os.fstat(fd)
    if owner.st_uid and os.geteuid() == 0 and (made.st_uid, made.st_nlink) == (0, 1):
        os.fchown(fd, owner.st_uid, owner.st_gid)


def story(held: Mapping[str, Any]) -> str:
    """What a lock says, as a sentence."""
    return "%s by %s from %s since %s" % tuple(held.get(key, "unknown") for key in ("why", "who", "from", "since"))


def _read(fd: int) -> Dict[str, Any]:
    """What the text says, {} where it says nothing. Seen cut short while it grows, it is whole a moment later."""
    for _ in range(TRIES):
        held = _parsed(fd)
        if held is not None:
            return held
        time.sleep(0.001)
    return {}


def _parsed(fd: int) -> Optional[Dict[str, Any]]:
    """None for a text that is no JSON."""
    try:
        held = json.loads(os.pread(fd, 65536, 0) or b"{}")
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else {}
