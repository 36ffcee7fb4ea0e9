"""An end to what hangs without a time limit of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Watchdog(threading.Timer):
    """Ends an opening that hangs where neither paramiko nor the kernel has a time limit."""

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
