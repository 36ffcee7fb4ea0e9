"""Progress of a long call, on stderr: one line that is redrawn at a terminal, else one line per
step."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from .format import duration, printable
from .log import log_line
from .width import cut, terminal_width, wrapped_text
from .work import Work

REDRAW_INTERVAL_S, TICK_INTERVAL_S = 0.1, 0.5
PLAIN_INTERVAL_S = 30.0
# A call that takes longer shows that it is at work.
SILENT_S = 1.5
# A phase that took longer is reported with its time, where lines are not redrawn.
WORTH_A_LINE_S = 2.0


class Progress:
    """Prints the events of one call. At a terminal all of it is one line that is redrawn, with one
    clock that counts from the start; the line is gone at the end. Anything else gets a line at the
    start and the end of a phase. Warnings are lines everywhere.

    `title`: what the call does, shown until the host reports a step."""

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
        self.title = ""
        # Whether a lasting warning, of an entry, is new to the user.
        self.is_new: Callable[[str, str], bool] = lambda entry, message: True
        # The clock is redrawn by a thread, while the caller waits for the host.
        self._lock = threading.RLock()
        self._works: dict[Any, Work] = {}
        # How many of several steps have ended, by how.
        self._ends: Counter[str] = Counter()
        # Checks that were reported: a job repeats them once it has its lock.
        self._checks: set[str] = set()
        self._drawn_at = float("-inf")
        self._live = False
        self._warned: set[str] = set()
        self.restart()

    def __call__(self, event: dict[str, Any]) -> None:
        follow = getattr(self, f"_on_{event.get('event')}", None)
        if follow is not None:
            with self._lock:
                follow(event)

    def restart(self) -> None:
        """Begin a new piece of work: the clock starts again."""
        self.close()
        self._began = self._clock()
        self._works.clear()
        self._ends.clear()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Inside, the clock of a terminal keeps going."""
        if not self._terminal or self._quiet:
            yield
            return
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(TICK_INTERVAL_S):
                self.tick()

        ticker = threading.Thread(target=run, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()

    def tick(self) -> None:
        """Redraw the line, if it is due and the call has taken longer than a moment."""
        with self._lock:
            now = self._clock()
            if now - self._drawn_at >= TICK_INTERVAL_S and now - self._began >= SILENT_S:
                self._redraw()

    def leave_terminal(self) -> None:
        """Draw no more: the answer is being printed, line by line."""
        with self._lock:
            self.close()
            self._terminal = False

    def warn(self, message: str) -> None:
        """Print a warning once, even if quiet."""
        with self._lock:
            if message not in self._warned:
                self._warned.add(message)
                self._line(f"warning: {printable(message)}")

    def close(self) -> None:
        """Erase the redrawn line, until the next event."""
        with self._lock:
            if self._live:
                self._write("\r\x1b[K")
                self._live = False

    def _work(self, event: dict[str, Any]) -> Work:
        port = event.get("port")
        if port is not None:
            # What came before the job was about the same work.
            self._works.pop(None, None)
        elif len(self._works) == 1:
            (port,) = self._works
        if port not in self._works:
            self._works[port] = Work(port, self._began)
        return self._works[port]

    def _on_job(self, event: dict[str, Any]) -> None:
        self._work(event).set_job(event, self._clock())

    def _on_job_end(self, event: dict[str, Any]) -> None:
        """A job has ended: it leaves the redrawn line."""
        work = self._work(event)
        self._report_end(work)
        self._works.pop(work.port, None)

    def _on_warning(self, event: dict[str, Any]) -> None:
        port = event.get("port")
        several = port is not None and len(self._works) > 1
        message = str(event.get("message", ""))
        text = f"{printable(port)}: {message}" if several else message
        entry = event.get("lasting")
        if entry is None or self._shows_lasting(str(entry), message):
            self.warn(text)
        # The result repeats it.
        self._warned.update((text, message))

    def _shows_lasting(self, entry: str, message: str) -> bool:
        """Whether to print a warning that every load of the entry has."""
        return not self._quiet and (self.is_new(entry, message) or self._verbose)

    def _on_note(self, event: dict[str, Any]) -> None:
        if not self._quiet:
            self._line(printable(event.get("message", "")))

    def _on_phase(self, event: dict[str, Any]) -> None:
        work = self._work(event)
        before = work.message
        if printable(event.get("phase", "")) != work.phase:
            self._report_end(work)
        if work.set_phase(event, self._clock()) or work.message != before:
            self._step(work)

    def _step(self, work: Work) -> None:
        if self._terminal and not self._verbose:
            self._redraw()
        elif not self._quiet and work.message not in self._checks:
            prefix = "" if work.phase == "preflight" else work.prefix
            self._line(f"{prefix}{work.message or work.phase}")
        if work.phase == "preflight":
            self._checks.add(work.message)

    def _report_end(self, work: Work) -> None:
        """Report the time of a long phase, where lines are not redrawn."""
        took = self._clock() - work.phase_began
        plain = not self._terminal or self._verbose
        if plain and not self._quiet and work.phase and took >= WORTH_A_LINE_S:
            self._line(f"{work.prefix}{work.verb} took {duration(took)}")

    def _on_end(self, event: dict[str, Any]) -> None:
        """One of several steps has ended. The result of the command has a line for each."""
        port = event.get("port")
        self._works.pop(port, None)
        ends = "done" if event.get("ok") else "failed"
        how = "cancelled" if event.get("cancelled") else ends
        self._ends[how] += 1
        if self._terminal and not self._verbose:
            self._redraw()
        elif not self._quiet:
            self._line(f"{printable(port)} {how}: {_message(event)}")

    def _on_log(self, event: dict[str, Any]) -> None:
        if self._verbose:
            port = event.get("port")
            label = f"{printable(port)} " if port is not None and len(self._works) > 1 else ""
            self._line(f"  {label}| {log_line(event.get('line', ''))}")

    def _on_progress(self, event: dict[str, Any]) -> None:
        work, now = self._work(event), self._clock()
        work.advance(event, now)
        if self._terminal:
            if now - self._drawn_at >= REDRAW_INTERVAL_S or work.done == work.total:
                self._redraw()
        elif event.get("phase") == "download" and not self._quiet:
            self._note_download(work, now)

    def _note_download(self, work: Work, now: float) -> None:
        due = work.noted_at is None or now - work.noted_at >= PLAIN_INTERVAL_S
        if due or work.done == work.total:
            work.noted_at = now
            self._line(f"{work.prefix}{work.verb}: {work.figures(now)}")

    def _line(self, text: str) -> None:
        self.close()
        self._write(
            wrapped_text(text, terminal_width(self._stream) if self._terminal else None) + "\n"
        )

    def _redraw(self) -> None:
        if not self._terminal or self._quiet:
            return
        now = self._clock()
        works = [work for work in self._works.values() if work.phase or work.label]
        self._drawn_at = now
        if works or self._ends or self.title:
            self._write("\r\x1b[K" + self._text(works, now, terminal_width(self._stream) - 1))
            self._live = True

    def _text(self, works: list[Work], now: float, width: int) -> str:
        if len(works) == 1:
            return works[0].line(now, width)
        clock = duration(now - self._began)
        ports = sorted(works, key=lambda work: str(work.port))
        ends = [f"{count} {how}" for how, count in sorted(self._ends.items())]
        jobs = "   ".join([*(work.short() for work in ports), *ends]) or self.title
        return f"{cut(jobs, width - len(clock) - 2)}  {clock}"

    def _write(self, text: str) -> None:
        """A closed terminal or a full disk must not end the work that is reported."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            pass


def _message(event: dict[str, Any]) -> str:
    return printable(event.get("message", ""))
