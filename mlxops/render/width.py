"""The width of text on a terminal: measured, shortened and wrapped. Colour codes take no columns,
East Asian wide characters take two."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

DEFAULT_COLUMNS = 80
ELLIPSIS, ARROW = "…", " -> "
MIN_ARROW_WIDTH = 16
SHORT_NAME = 40
COMMAND = "mlxops "
_CODE = re.compile(r"\x1b\[[\d;]*m")
_PAINTED = re.compile(r"(\x1b\[[\d;]*m)(.*)(\x1b\[0m)", re.DOTALL)
_LONG_NAME = re.compile(rf"(?<![\w./~:=-])\w[\w./-]{{{SHORT_NAME},}}")
_WORD = re.compile(r"\s*\S+")


def width(text: str) -> int:
    """Columns of a terminal that a line takes."""
    bare = _CODE.sub("", text) if "\x1b" in text else text
    return len(bare) if bare.isascii() else sum(map(char_width, bare))


def terminal_width(stream: TextIO) -> int:
    """Columns of the terminal; DEFAULT_COLUMNS if it does not know."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS


def char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrapped(line: str, room: int | None, indent: str | None = None) -> list[str]:
    """A line broken between words where it is wider than `room`; what follows is indented, by
    default two columns more than the line. A word is never broken: a path can be copied."""
    if room is None or width(line) <= room:
        return [line]
    hanging = indent is not None
    if indent is None:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
    lines = [""]
    for word in _WORD.findall(line):
        started = width(lines[-1]) > len(indent) or (len(lines) == 1 and not hanging)
        if lines[-1].strip() and started and width(lines[-1] + word) > room:
            lines.append(indent + word.lstrip())
        else:
            lines[-1] += word
    return lines


def broken(line: str, room: int) -> list[str]:
    """The line in parts of at most `room` columns, between words where that is possible."""
    lines = [""]
    for word in line.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width(joined) <= room:
            lines[-1] = joined
            continue
        rest = word
        if lines[-1]:
            lines.append("")
        while width(rest) > room:
            lines[-1] = _head(rest, room)
            rest = rest[len(lines[-1]) :]
            lines.append("")
        lines[-1] = rest
    return lines


def with_short_names(text: str, room: int | None) -> str:
    """The text with the names of models shortened in lines that are wider than `room`. Paths stay,
    and so do lines with a command."""
    if room is None:
        return text
    return "\n".join(
        line
        if width(line) <= room or COMMAND in line
        else _LONG_NAME.sub(lambda name: shorten(name[0], SHORT_NAME), line)
        for line in text.split("\n")
    )


def wrapped_text(text: str, room: int | None) -> str:
    """The text with each of its lines wrapped."""
    return "\n".join(part for line in text.split("\n") for part in wrapped(line, room))


def cut(text: str, room: int) -> str:
    """The text in at most `room` columns, its end replaced by an ellipsis if it is wider."""
    return text if width(text) <= room else f"{_head(text, room - 1)}{ELLIPSIS}"


def shorten(text: str, room: int) -> str:
    """The text with its middle cut out if it is wider than `room`: models differ at both ends."""
    return _cut(text, room, (room - 1) // 2)


def shorten_all(texts: Sequence[str], room: int, prose: bool = False) -> list[str]:
    """Each text in at most `room` columns; different texts stay different if `room` allows it.

    Of all texts the same part is cut out, the middle if that keeps them apart. Those that are alike
    at both ends keep the part where they differ. `prose`: sentences, which are cut at their end."""
    different = dict.fromkeys(texts)
    if prose:
        return [_cut(text, room, 0) for text in texts]
    for tail in _tails(room):
        cut = {text: _cut(text, room, tail) for text in different}
        if len(set(cut.values())) == len(cut):
            break
    else:
        cut = _apart(different, room)
    return [cut[text] for text in texts]


def _tails(room: int) -> Iterator[int]:
    """How much of the end is shown: half, nothing, then everything and a quarter."""
    yield from dict.fromkeys(
        max(0, tail) for tail in ((room - 1) // 2, 0, room - 1, room // 4, room * 3 // 4)
    )


def _apart(texts: Iterable[str], room: int) -> dict[str, str]:
    """The middle cut out; of those that then look alike, what is around their first difference."""
    alike: dict[str, list[str]] = {}
    for text in texts:
        alike.setdefault(shorten(text, room), []).append(text)
    cut = {}
    for short, group in alike.items():
        start = _common_length(group)
        for text in group:
            cut[text] = short if len(group) == 1 else _window(text, room, start)
    return cut


def _common_length(texts: list[str]) -> int:
    """How many characters all of them begin with."""
    first, last = min(texts), max(texts)
    return next((at for at, char in enumerate(first) if char != last[at]), len(first))


def _window(text: str, room: int, start: int) -> str:
    """The head, the part from just before `start`, and the end cut off: head…part…"""
    head = room // 3
    begin = max(head + 1, start - 3)
    return _cut(f"{_head(text, head)}{ELLIPSIS}{text[begin:]}", room, 0)


def _cut(text: str, room: int, tail: int) -> str:
    """The text in `room` columns, of which `tail` show its end."""
    if width(text) <= room:
        return text
    if ARROW in text and room >= MIN_ARROW_WIDTH:
        return _cut_sides(text, room)
    if painted := _PAINTED.fullmatch(text):
        start, bare, end = painted.groups()
        return f"{start}{_cut(bare, room, tail)}{end}"
    return f"{_head(text, room - 1 - tail)}{ELLIPSIS}{_tail(text, tail)}"


def _cut_sides(text: str, room: int) -> str:
    """What stands before an arrow and after it, the longer one cut first. Different sides stay
    different."""
    before, after = text.split(ARROW, 1)
    both = room - len(ARROW)
    left = min(width(before), max(both // 2, both - width(after)))
    smaller = min(left, both - left)
    if before != after and shorten(before, smaller) == shorten(after, smaller):
        return ARROW.join(shorten_all([before, after], smaller))
    return f"{shorten(before, left)}{ARROW}{shorten(after, both - left)}"


def _head(text: str, room: int) -> str:
    """The longest beginning of a bare text that takes at most `room` columns."""
    if text.isascii():
        return text[: max(0, room)]
    taken = 0
    for at, char in enumerate(text):
        taken += char_width(char)
        if taken > room:
            return text[:at]
    return text


def _tail(text: str, room: int) -> str:
    return _head(text[::-1], room)[::-1]
