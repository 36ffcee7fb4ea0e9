"""Progress of a long call, on stderr: phases, warnings, log lines and a download bar."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from .format import DASH, byte_rate, duration, printable, size

REDRAW_INTERVAL_S = 0.1
PLAIN_INTERVAL_S = 30.0
RATE_WINDOW_S = 10.0
BAR_WIDTH = 24


class Progress:
    """Prints the events of one call. A terminal gets a line that is redrawn, anything else a new
    line now and then."""

    def __init__(
        self,
        stream: TextIO,
        terminal: bool,
        quiet: bool,
        verbose: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._terminal, self._quiet, self._verbose, self._clock = (
            stream,
            terminal,
            quiet,
            verbose,
            clock,
        )
        self._phase, self._since = "", clock()
        self._speed = Speed()
        self._drawn_at: float | None = None
        self._live = False
        self._warned: set[str] = set()

    def __call__(self, event: dict[str, Any]) -> None:
        follow = getattr(self, f"_on_{event.get('event')}", None)
        if follow is not None:
            follow(event)

    def warn(self, message: str) -> None:
        """Print a warning once, even if quiet."""
        if message not in self._warned:
            self._warned.add(message)
            self._line(f"warning: {printable(message)}")

    def close(self) -> None:
        """Erase the redrawn line."""
        if self._live:
            self._write("\r\x1b[K")
            self._live = False

    def _on_warning(self, event: dict[str, Any]) -> None:
        self.warn(str(event.get("message", "")))

    def _on_phase(self, event: dict[str, Any]) -> None:
        self._phase = f"{printable(event.get('phase', ''))}: {printable(event.get('message', ''))}"
        self._since, self._drawn_at, self._speed = self._clock(), None, Speed()
        if not self._quiet:
            self._line(self._phase)

    def _on_log(self, event: dict[str, Any]) -> None:
        if self._verbose:
            self._line(f"  | {printable(str(event.get('line', '')).expandtabs())}")

    def _on_ping(self, event: dict[str, Any]) -> None:
        if self._phase and self._drawn_at is None:
            self._redraw(
                f"  {self._phase.partition(':')[0]} {duration(self._clock() - self._since)}"
            )

    def _on_progress(self, event: dict[str, Any]) -> None:
        now, done, total = self._clock(), _bytes(event.get("done")) or 0, _bytes(event.get("total"))
        self._speed.add(now, done)
        if self._quiet or not self._due(now, done == total):
            return
        self._drawn_at = now
        text = bar_text(done, total, self._speed.bytes_per_s(), event.get("file"))
        self._redraw(text) if self._terminal else self._line(text)

    def _due(self, now: float, finished: bool) -> bool:
        every = REDRAW_INTERVAL_S if self._terminal else PLAIN_INTERVAL_S
        return finished or self._drawn_at is None or now - self._drawn_at >= every

    def _line(self, text: str) -> None:
        self.close()
        self._write(text + "\n")

    def _redraw(self, text: str) -> None:
        if self._terminal and not self._quiet:
            self._write("\r\x1b[K" + text[: self._width() - 1])
            self._live = True

    def _write(self, text: str) -> None:
        """A closed terminal or a full disk must not end the work that is reported."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            pass

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80


def _bytes(figure: Any) -> int | None:
    """A byte count from the host; None if it cannot be one."""
    return figure if isinstance(figure, int) and 0 <= figure < 1 << 63 else None


class Speed:
    """Bytes per second over the last seconds; bytes that a resumed download already had do not
    count."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int) -> None:
        self._samples.append((now, done))
        while now - self._samples[0][0] > RATE_WINDOW_S and len(self._samples) > 2:
            self._samples.popleft()

    def bytes_per_s(self) -> float | None:
        if len(self._samples) < 2:
            return None
        (start, before), (now, done) = self._samples[0], self._samples[-1]
        return max(0, done - before) / (now - start) if now > start else None


def bar_text(done: int, total: int | None, speed: float | None, file: str | None) -> str:
    """[#####.....]  42 %  3.10 GiB of 7.40 GiB  112 MiB/s  ETA 38 s  model.safetensors"""
    filled = int(BAR_WIDTH * min(1.0, done / total)) if total else 0
    share = f"{int(100 * done / total):3d} %" if total else f"  {DASH} %"
    eta = duration((total - done) / speed) if total and speed and total >= done else DASH
    words = [
        f"[{'#' * filled:.<{BAR_WIDTH}}]",
        share,
        f"{size(done)} of {size(total)}",
        byte_rate(speed),
        f"ETA {eta}",
    ]
    return "  ".join([*words, *([printable(file)] if file else [])])
