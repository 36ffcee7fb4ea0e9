"""Split a log's bytes into lines: none is lost, torn or too long, whatever the blocks."""

from __future__ import annotations

import re
from typing import List

MAX_LINE_BYTES = 64 << 10
# Marks in a line that is not shown whole.
CONTINUES, CONTINUED = " [...]", "[...] "
_ENDS = re.compile(rb"\r\n|\n|\r")


class LineSplitter:
    """Splits blocks into lines, which end with a newline or with the carriage return of a progress
    bar.

    A line without an end is held back. A line longer than `longest` bytes is cut and marked.
    `torn`: the first block begins inside a line."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES, torn: bool = False) -> None:
        self._max_bytes = max_bytes
        self._partial = b""
        self._dropped = 0
        self._after_return, self._continued = False, torn

    @property
    def has_partial_line(self) -> bool:
        """Whether a line without an end is held back."""
        return bool(self._partial)

    def feed(self, content: bytes) -> List[str]:
        """Add a block; return the lines that are now complete."""
        if self._after_return and content.startswith(b"\n"):
            content = content[1:]
            self._after_return = False
        if content:
            self._after_return = content.endswith(b"\r")
        *whole, rest = _ENDS.split(content)
        lines = []
        for part in whole:
            self._add(part)
            lines.append(self._line())
        self._add(rest)
        return lines

    def flush_partial(self) -> List[str]:
        """The held text up to its last whole character, marked as continuing."""
        shown = _whole_characters(self._partial)
        rest = self._partial[shown:]
        self._partial = self._partial[:shown]
        text = self._text() + CONTINUES if shown else ""
        self._partial, self._dropped, self._continued = rest, 0, self._continued or bool(shown)
        return [text] if text else []

    def end(self) -> List[str]:
        """The held text, at the end of a file that no process writes any more."""
        return [self._line()] if self._partial else []

    def _add(self, part: bytes) -> None:
        room = self._max_bytes - len(self._partial)
        if len(part) > room:
            fits = _whole_characters(part[:room]) if not self._dropped else 0
            self._dropped += len(part) - fits
            part = part[:fits]
        elif self._dropped:
            self._dropped += len(part)
            part = b""
        self._partial += part

    def _line(self) -> str:
        text = self._text()
        self._partial, self._dropped, self._continued = b"", 0, False
        return text

    def _text(self) -> str:
        # A hole in a truncated log reads as NULs.
        text = self._partial.lstrip(b"\0").decode("utf-8", "replace")
        before = CONTINUED if self._continued else ""
        after = " [... %d bytes left out]" % self._dropped if self._dropped else ""
        return before + text + after


def count_ends(content: bytes) -> int:
    """The number of line ends."""
    return content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")


def after_ends(content: bytes) -> List[int]:
    """The offsets after the line ends."""
    return [found.end() for found in _ENDS.finditer(content)]


def _whole_characters(content: bytes) -> int:
    """The length of the content without an incomplete UTF-8 character at its end."""
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte & 0xC0 != 0x80:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return len(content) - back if needed > back else len(content)
    return len(content)
