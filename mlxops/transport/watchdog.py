"""A time limit for calls that have none."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Watchdog(threading.Timer):
    """Shuts the socket down after a time, where neither paramiko nor the kernel has a limit."""

    def __init__(self, sock: socket.socket, after: float) -> None:
        super().__init__(after, self._expire)
        self.daemon = True
        self.timed_out = False
        self._sock = sock
        self.start()

    def _expire(self) -> None:
        self.timed_out = True
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
