"""Choose lines of a log by time and pattern."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager, nullcontext
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, Pattern

from ..clock import utc
from ..errors import Usage
from ..runtimes.log_errors import COLOUR
from .times import time_of

# For one block of lines.
SEARCH_TIMEOUT_S = 10.0


class Line(NamedTuple):
    """A line, and when it was written, in seconds since the epoch; None if it does not say so."""

    text: str
    at: Optional[float]

    @property
    def stamp(self) -> Optional[str]:
        return None if self.at is None else utc(self.at)


class Selection:
    """Takes lines in order. `since`: leave out earlier lines; a line without a time counts as
    written with the one before it. `pattern`: a regular expression that is searched in each line
    without its colours."""

    def __init__(
        self, since: Optional[float] = None, pattern: Optional[Pattern[str]] = None
    ) -> None:
        self._since, self._pattern = since, pattern
        self._last: Optional[float] = None

    def chosen(self, texts: Iterable[str]) -> List[Line]:
        """Those that are wanted. Main thread only; Usage if the pattern takes too long."""
        with _limited_time() if self._pattern is not None else nullcontext():
            return [line for line in map(self._line, texts) if self._is_wanted(line)]

    def _line(self, text: str) -> Line:
        plain = COLOUR.sub("", text)
        at = time_of(plain)
        self._last = self._last if at is None else at
        return Line(text, at)

    def _is_wanted(self, line: Line) -> bool:
        if self._since is not None and (self._last is None or self._last < self._since):
            return False
        return self._pattern is None or bool(self._pattern.search(COLOUR.sub("", line.text)))


@contextmanager
def _limited_time() -> Iterator[None]:
    """End a search that would take hours. `re` lets handlers of signals run, but no thread."""

    def stop(*_: Any) -> None:
        raise Usage("--grep: the pattern takes too long", "use a simpler pattern")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SEARCH_TIMEOUT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def compiled(pattern: str) -> Pattern[str]:
    """The regular expression; Usage if it is none."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as exc:
        raise Usage("--grep %r is not a regular expression: %s" % (pattern, exc)) from None


def has_time(texts: Iterable[str]) -> bool:
    """Whether any of the lines has a time."""
    return any(time_of(COLOUR.sub("", text)) is not None for text in texts)
