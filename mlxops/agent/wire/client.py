"""The line to the client: records out, pings and cancels in. Work that outlives its client goes on
when it breaks."""

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
    """Who asked. `gone` once the link is broken, `cancelled` once the client said so or a signal
    did."""

    def __init__(
        self, out_fd: int, stdin: BinaryIO, silence_s: float = wire.SILENCE_TIMEOUT_S
    ) -> None:
        # Never wait in a write for a client that no longer reads: a black-holed link fills the
        # pipe.
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
        """One event to the client."""
        self.send(wire.event(name, **fields))

    def send(self, record: Dict[str, Any]) -> None:
        """One record to the client; nothing when it is gone."""
        line = wire.encode(record)
        with self._lock:
            while line and not self.disconnected:
                try:
                    line = line[os.write(self._out, line) :]
                except BlockingIOError:
                    # The thread that pings may wait for this very lock: whoever writes has to
                    # notice the silence.
                    self.disconnected = self._silent()
                    if select.select([], [self._out], [], 0.5)[1]:
                        # Who takes what was held up is there, even where nobody listens for its
                        # words.
                        self._heard = time.monotonic()
                except OSError:
                    self.disconnected = True

    def check(self) -> None:
        """Interrupted once the client cancelled."""
        if self.cancelled:
            raise Interrupted("cancelled", "mlxops status")

    def watch(self, on_gone: Optional[Callable[[], None]] = None) -> None:
        """Listen to the client from now on, and ping it. `on_gone` runs when the link breaks."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._cancel())
        signal.signal(signal.SIGHUP, lambda *_: None)
        for work in (self._listen, self._ping):
            threading.Thread(target=work, args=(on_gone,), daemon=True).start()

    def _cancel(self) -> None:
        self.cancelled = True

    def _listen(self, on_gone: Optional[Callable[[], None]]) -> None:
        # Of a line without an end no more is kept than a word could need.
        for line in iter(lambda: self._stdin.readline(MAX_WORD_BYTES), b""):
            self._heard = time.monotonic()
            if line == wire.CANCEL:
                self._cancel()
            if line == wire.START:
                self.start_allowed.set()
        self._lose(on_gone)

    def _ping(self, on_gone: Optional[Callable[[], None]]) -> None:
        while not self.disconnected:
            # Up to the very moment: a dead link is noticed after its silence, not with the ping
            # after it.
            time.sleep(min(wire.PING_INTERVAL_S, self._patience()))
            if self._silent():
                break
            self.send(wire.event("ping"))
        self._lose(on_gone)

    def _silent(self) -> bool:
        return self._patience() == 0.0

    def _patience(self) -> float:
        """Seconds of silence that are still borne."""
        return max(0.0, self._heard + self._silence_s - time.monotonic())

    def _lose(self, on_gone: Optional[Callable[[], None]]) -> None:
        self.disconnected = True
        if on_gone is not None:
            on_gone()
