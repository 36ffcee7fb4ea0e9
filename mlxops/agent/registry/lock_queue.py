"""Wait for an flock in the kernel's queue, for a limited time. With polling, chance would decide
who is next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import Callable, Optional

from ..clock import Deadline, wait_for

# A wait that a person should hear of.
LONG_WAIT_S = 1.5


def try_lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def acquire_within(
    fd: int, deadline: Deadline, on_wait: Optional[Callable[[], None]] = None
) -> bool:
    """Lock `fd` exclusively, in order of arrival. False at the deadline: `fd` is then closed, or
    left to the waiting thread. Errors close it too. `on_wait` is called once if it takes long."""
    try:
        if try_lock(fd):
            return True
        waiter = None if deadline.passed else _Waiter(fd)
    except BaseException:
        os.close(fd)
        raise
    if waiter is not None:
        return waiter.wait(deadline, on_wait)
    os.close(fd)
    return False


class QueuePlace:
    """The first place in the queue, a lock of the folder. Its owner competes only with the holder.

    flock is not FIFO for newcomers: one may be faster than the waiter that the kernel wakes, so all
    waiters queue here first. Best effort: a waiter that hangs delays the others, and the lock
    itself decides."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd: Optional[int] = None

    def take(self, deadline: Deadline, on_wait: Optional[Callable[[], None]] = None) -> None:
        with contextlib.suppress(OSError):
            fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._fd = fd if acquire_within(fd, deadline, on_wait) else None

    def leave(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class _Waiter:
    """A thread that waits in flock, which cannot be cancelled: after the deadline it releases the
    lock as soon as it gets it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._guard = threading.Lock()
        self._gained = False
        self._late = False
        self._error: Optional[Exception] = None

    def wait(self, deadline: Deadline, on_wait: Optional[Callable[[], None]] = None) -> bool:
        thread = threading.Thread(target=self._wait, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread can be started (a limit on processes): poll, without the order.
            return self._poll(deadline)
        thread.join(min(LONG_WAIT_S, deadline.left()))
        if on_wait is not None and thread.is_alive() and not deadline.passed:
            on_wait()
        thread.join(deadline.left())
        with self._guard:
            self._late = not self._gained
        if self._error is not None:
            raise self._error
        return self._gained

    def _poll(self, deadline: Deadline) -> bool:
        gained = False
        try:
            gained = wait_for(lambda: try_lock(self._fd), deadline) is True
        finally:
            if not gained:
                os.close(self._fd)
        return gained

    def _wait(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except Exception as exc:  # raised again in wait()
            self._error = exc
        with self._guard:
            self._gained = not self._late and self._error is None
            if not self._gained:
                os.close(self._fd)
