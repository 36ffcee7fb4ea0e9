"""Progress of a long call, on stderr: phases, warnings, log lines and a download bar."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from .format import DASH, byte_rate, duration, file_size, printable

REDRAW_INTERVAL_S = 0.1
PLAIN_INTERVAL_S = 30.0
RATE_WINDOW_S = 10.0
BAR_WIDTH = 24


class Progress:
    """Prints the events of one call. A terminal gets a line that is redrawn, anything else a new
    line now and then. Events with a port are of one of several jobs, which the line shows side by
    side."""

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
        self._works: dict[Any, Work] = {}
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

    def _work(self, event: dict[str, Any]) -> Work:
        port = event.get("port")
        if port not in self._works:
            self._works[port] = Work(port, self._clock())
        return self._works[port]

    def _on_warning(self, event: dict[str, Any]) -> None:
        self.warn(f"{self._work(event).label}{event.get('message', '')}")

    def _on_phase(self, event: dict[str, Any]) -> None:
        work = self._work(event)
        work.begin(printable(event.get("phase", "")), self._clock())
        if work.port is not None and self._terminal and not self._verbose:
            self._redraw()  # the phases of many jobs would fill the screen
        elif not self._quiet:
            self._line(f"{work.label}{work.phase}: {printable(event.get('message', ''))}")

    def _on_end(self, event: dict[str, Any]) -> None:
        """A port's job has ended: it leaves the redrawn line."""
        work = self._work(event)
        del self._works[event.get("port")]
        if not self._quiet:
            how = "done" if event.get("ok") else "failed"
            self._line(f"{work.label}{how}: {printable(event.get('message', ''))}")

    def _on_log(self, event: dict[str, Any]) -> None:
        if self._verbose:
            line = printable(str(event.get("line", "")).expandtabs())
            self._line(f"  {self._work(event).label}| {line}")

    def _on_ping(self, event: dict[str, Any]) -> None:
        if any(work.phase and work.drawn_at is None for work in self._works.values()):
            self._redraw()

    def _on_progress(self, event: dict[str, Any]) -> None:
        work, now = self._work(event), self._clock()
        work.advance(event, now)
        if self._quiet or not self._due(work, now):
            return
        work.drawn_at = now
        self._redraw() if self._terminal else self._line(f"{work.label}{work.bar()}")

    def _due(self, work: Work, now: float) -> bool:
        every = REDRAW_INTERVAL_S if self._terminal else PLAIN_INTERVAL_S
        return work.done == work.total or work.drawn_at is None or now - work.drawn_at >= every

    def _line(self, text: str) -> None:
        self.close()
        self._write(text + "\n")

    def _redraw(self) -> None:
        if not self._terminal or self._quiet:
            return
        now, works = self._clock(), [work for work in self._works.values() if work.has_begun]
        ports = [work for work in works if work.port is not None]
        texts = [work.short(now) for work in ports] or [work.full(now) for work in works]
        self._write("\r\x1b[K" + "   ".join(texts)[: self._width() - 1])
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


class Work:
    """How far one job is: its phase, and the bytes that it has read or downloaded. `port`: None for
    a call with one job. `drawn_at`: when its bytes were last shown."""

    def __init__(self, port: Any, now: float) -> None:
        self.port, self.label = port, "" if port is None else f"{printable(port)} "
        self.begin("", now)

    def begin(self, phase: str, now: float) -> None:
        self.phase, self._since, self._speed = phase, now, Speed()
        self.drawn_at: float | None = None
        self.done, self._file = 0, None
        self.total: int | None = None

    @property
    def has_begun(self) -> bool:
        return bool(self.phase) or self.drawn_at is not None

    def advance(self, event: dict[str, Any], now: float) -> None:
        self.done, self.total = _bytes(event.get("done")) or 0, _bytes(event.get("total"))
        self._file = event.get("file")
        self._speed.add(now, self.done)

    def bar(self) -> str:
        return bar_text(self.done, self.total, self._speed.bytes_per_s(), self._file)

    def full(self, now: float) -> str:
        """The line of the only job."""
        return f"  {self._age(now)}" if self.drawn_at is None else self.bar()

    def short(self, now: float) -> str:
        """The part of one job in the line of several."""
        if self.drawn_at is None or not self.total:
            return f"{self.label}{self._age(now)}"
        speed = self._speed.bytes_per_s()
        eta = f" ETA {duration((self.total - self.done) / speed)}" if speed else ""
        share = f"{int(100 * self.done / self.total)} % of {file_size(self.total)}"
        return f"{self.label}{self.phase} {share}{eta}"

    def _age(self, now: float) -> str:
        return f"{self.phase} {duration(now - self._since)}"


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
    """[#####.....]  42 %  3.10 GB of 7.40 GB  112 MB/s  ETA 38 s  model.safetensors"""
    filled = int(BAR_WIDTH * min(1.0, done / total)) if total else 0
    share = f"{int(100 * done / total):3d} %" if total else f"  {DASH} %"
    eta = duration((total - done) / speed) if total and speed and total >= done else DASH
    words = [
        f"[{'#' * filled:.<{BAR_WIDTH}}]",
        share,
        f"{file_size(done)} of {file_size(total)}",
        byte_rate(speed),
        f"ETA {eta}",
    ]
    return "  ".join([*words, *([printable(file)] if file else [])])
