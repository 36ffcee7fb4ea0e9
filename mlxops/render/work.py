"""One job as a line of progress: what it does, how far it is, and how long it has taken."""

from __future__ import annotations

from collections import deque
from typing import Any

from .format import byte_rate, duration, file_size, printable, size
from .width import cut, shorten
from .width import width as columns

RATE_WINDOW_S = 10.0
BAR_WIDTH = 10
MAX_NAME_WIDTH, MIN_NAME_WIDTH = 24, 14
# What a phase does, where its message does not say it.
_VERBS = {
    "download": "downloading",
    "prepare": "reading ahead",
    "drain": "stopping",
    "stop": "stopping",
    "wait": "loading",
    "commit": "loading",
    "rollback": "rolling back",
}
# In the line of several jobs, where a message is too long.
_SHORT_VERBS = {**_VERBS, "preflight": "checking", "launch": "starting", "evict": "making room"}
# Phases whose message repeats the verb and the name.
_NO_MESSAGE = ("download", "prepare", "wait", "commit")
# The phases that move bytes, which have a rate.
_MOVING = ("download", "prepare")


class Work:
    """How far one job is. `port`: None before a job has begun. `began`: when the clock started."""

    def __init__(self, port: Any, began: float) -> None:
        self.port, self.began = port, began
        self.entry = ""
        self.phase, self.message = "", ""
        self.noted_at: float | None = None
        # A rollback has phases of its own.
        self._undoing = False
        self._begin_phase("", began)

    @property
    def label(self) -> str:
        """The port and the model, for the beginning of a line."""
        return " ".join(filter(None, [self._port, self.entry]))

    @property
    def _port(self) -> str:
        """The port as text; "" for a job without one, such as a pull."""
        return printable(self.port) if self.port else ""

    @property
    def prefix(self) -> str:
        """The label before a message."""
        return f"{self.label}: " if self.label else ""

    @property
    def _short_label(self) -> str:
        """The same, for a line that is full."""
        return f"{self._port} {shorten(self.entry, MIN_NAME_WIDTH)}".strip()

    def set_job(self, event: dict[str, Any], now: float) -> None:
        """Take in who the job is, and how long it has been running, if that is known."""
        self.entry = shorten(printable(event.get("entry") or ""), MAX_NAME_WIDTH)
        age = _seconds(event.get("age_s"))
        if age is not None:
            self.began = now - age

    def set_phase(self, event: dict[str, Any], now: float) -> bool:
        """Take in a phase event; whether it begins another phase."""
        phase = printable(event.get("phase", ""))
        self.message = printable(event.get("message", ""))
        if phase == self.phase:
            return False
        # Of a job that is followed, earlier phases arrive late.
        elapsed = _seconds(event.get("elapsed_s"))
        elapsed = now - self.began if elapsed is None else elapsed
        self._begin_phase(phase, self.began + elapsed)
        usual = _seconds(event.get("usual_s"))
        self._usual = None if usual is None else elapsed + usual
        return True

    def _begin_phase(self, phase: str, now: float) -> None:
        self.phase, self.phase_began = phase, now
        self._undoing = self._undoing or phase == "rollback"
        self._speed, self._usual = Speed(), None
        self.done: int | None = None
        self.total: int | None = None
        self.noted_at = None

    def advance(self, event: dict[str, Any], now: float) -> None:
        """Take in a progress event."""
        phase = printable(event.get("phase", self.phase))
        if phase != self.phase:
            self._begin_phase(phase, now)
        self.done, self.total = _bytes(event.get("done")) or 0, _bytes(event.get("total"))
        self._speed.add(now, self.done)

    def line(self, now: float, width: int) -> str:
        """All that is known, in at most `width` columns. What does not fit is left out: the bar
        first, then the rate, then the sizes; a long name is shortened before that."""
        label, *parts = self._parts(now)
        while True:
            texts = [part for _, part in parts]
            for name in (label[1], self._short_label):
                text = "  ".join(filter(None, (name, *texts))).replace("  , ", ", ")
                if columns(text) <= width:
                    return text
            heaviest = max(weight for weight, _ in parts)
            if heaviest == 0:
                return cut(text, width)
            parts = [(weight, part) for weight, part in parts if weight != heaviest]

    def short(self) -> str:
        """The part of one job in the line of several."""
        far = [f"{self._percent} %"] if self.total else []
        verb = _SHORT_VERBS.get(self.phase, self.verb)
        return " ".join(filter(None, [self._port or self.entry, verb, *far]))

    def figures(self, now: float) -> str:
        """How far it is, for a line of its own: 42 % of 7.40 GB, 112 MB/s, 38 s left."""
        share = f"{self._percent} % of {self._size(self.total)}" if self.total else ""
        rate, left = self._rate, self._left_s(now)
        words = [share or self._size(self.done), byte_rate(rate) if rate is not None else ""]
        words += [f"{duration(left)} left" if left is not None else ""]
        return ", ".join(filter(None, words))

    def _parts(self, now: float) -> list[tuple[int, str]]:
        """The parts of the line with their weights, the label first: the heaviest is left out
        first."""
        verb, message = self.verb, "" if self.phase in _NO_MESSAGE else self.message
        if verb.endswith(message):
            message = ""
        elif message.startswith(verb):
            verb, message = message, ""
        parts = [(0, verb), (3, message), *([] if self.done is None else self._bytes_parts())]
        parts += [(0, duration(max(0.0, now - self.began))), (1, self._end_text(now))]
        return [(0, self.label), *((weight, part) for weight, part in parts if part)]

    def _bytes_parts(self) -> list[tuple[int, str]]:
        parts = []
        if self.total:
            filled = BAR_WIDTH * self._percent // 100
            parts += [(4, f"[{'#' * filled:.<{BAR_WIDTH}}]"), (0, f"{self._percent:3d} %")]
        total, done = self._size(self.total), self._size(self.done)
        number, _, unit = done.partition(" ")
        done = number if total.endswith(f" {unit}") else done
        parts.append((2, f"{done} of {total}" if self.total else done))
        rate = self._rate
        return parts if rate is None else [*parts, (3, byte_rate(rate))]

    @property
    def verb(self) -> str:
        """What the phase does."""
        verb = _VERBS.get(self.phase) or self.message or self.phase
        return f"rolling back: {verb}" if self._undoing and self.phase != "rollback" else verb

    @property
    def _percent(self) -> int:
        return min(100, 100 * (self.done or 0) // self.total) if self.total else 0

    @property
    def _rate(self) -> float | None:
        return self._speed.bytes_per_s() if self.phase in _MOVING else None

    def _size(self, count: int | None) -> str:
        """Memory in binary units, files in decimal ones."""
        return size(count) if self.phase == "wait" else file_size(count)

    def _end_text(self, now: float) -> str:
        """What follows the clock: the time that is left, or the usual time once that is over."""
        if self._usual is not None and now - self.began > self._usual:
            return f", usually {duration(self._usual)}"
        left = self._left_s(now)
        return f", {duration(left)} left" if left is not None else ""

    def _left_s(self, now: float) -> float | None:
        """Seconds until the phase ends, from earlier starts, else from the rate; None if unknown
        or over."""
        if self._usual is not None:
            left = self._usual - (now - self.began)
            return left if left > 0 else None
        speed = self._speed.bytes_per_s()
        if not speed or not self.total or self.done is None:
            return None
        # The first files are small and say nothing of the rate.
        if self.done >= self.total or self._percent < 1:
            return None
        return (self.total - self.done) / speed


def _bytes(figure: Any) -> int | None:
    """A byte count from the host; None if it cannot be one."""
    return figure if type(figure) is int and 0 <= figure < 1 << 63 else None


def _seconds(figure: Any) -> float | None:
    """Seconds from the host; None if it cannot be a time."""
    return float(figure) if type(figure) in (int, float) and 0 <= figure < 1e9 else None


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
