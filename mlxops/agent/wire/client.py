"""The link to the client: records go out, pings and cancels come in. A job that outlives its client
continues when the link breaks."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from typing import Any, BinaryIO, Callable, Dict, Optional

from ..errors import Interrupted
from . import codec as wire

MAX_WORD_BYTES = 4096


class ClientLink:
    """The client of this call. `disconnected` once the link is broken, `cancelled` after a cancel
    or a signal."""

    def __init__(
        self, out_fd: int, stdin: BinaryIO, silence_s: float = wire.SILENCE_TIMEOUT_S
    ) -> None:
        # A write must not block on a client that stopped reading: a dead link fills the pipe.
        os.set_blocking(out_fd, False)
        self._out = out_fd
        self._stdin = stdin
        self._lock = threading.Lock()
        self._silence_s = silence_s
        self._heard = time.monotonic()
        self.disconnected = False
        self.cancelled = False
        self.start_allowed = threading.Event()

    def emit(self, name: str, **fields: Any) -> None:
        """Send one event."""
        self.send(wire.event(name, **fields))

    def send(self, record: Dict[str, Any]) -> None:
        """Send one record, unless the client is disconnected."""
        line = wire.encode(record)
        with self._lock:
            while line and not self.disconnected:
                try:
                    line = line[os.write(self._out, line) :]
                except BlockingIOError:
                    # The ping thread may wait for this lock, so the writer checks for silence.
                    self.disconnected = self._silent()
                    if select.select([], [self._out], [], 0.5)[1]:
                        # A client that drains the pipe is alive.
                        self._heard = time.monotonic()
                except OSError:
                    self.disconnected = True

    def check(self) -> None:
        """Interrupted once the client cancelled."""
        if self.cancelled:
            raise Interrupted("cancelled", "mlxops status")

    def watch(self, on_gone: Optional[Callable[[], None]] = None) -> None:
        """Start to listen to the client and to ping it. `on_gone` runs when the link breaks."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._cancel())
        signal.signal(signal.SIGHUP, lambda *_: None)
        for work in (self._listen, self._ping):
            threading.Thread(target=work, args=(on_gone,), daemon=True).start()

    def _cancel(self) -> None:
        self.cancelled = True

    def _listen(self, on_gone: Optional[Callable[[], None]]) -> None:
        # A bound for lines without an end.
        for line in iter(lambda: self._stdin.readline(MAX_WORD_BYTES), b""):
            self._heard = time.monotonic()
            if line == wire.CANCEL:
                self._cancel()
            if line == wire.START:
                self.start_allowed.set()
        self._disconnect(on_gone)

    def _ping(self, on_gone: Optional[Callable[[], None]]) -> None:
        while not self.disconnected:
            # Not beyond the silence limit, so that a dead link is noticed at once.
            time.sleep(min(wire.PING_INTERVAL_S, self._silence_left_s()))
            if self._silent():
                break
            self.send(wire.event("ping"))
        self._disconnect(on_gone)

    def _silent(self) -> bool:
        return self._silence_left_s() == 0.0

    def _silence_left_s(self) -> float:
        """Seconds until the client counts as disconnected, unless it sends something."""
        return max(0.0, self._heard + self._silence_s - time.monotonic())

    def _disconnect(self, on_gone: Optional[Callable[[], None]]) -> None:
        self.disconnected = True
        if on_gone is not None:
            on_gone()
