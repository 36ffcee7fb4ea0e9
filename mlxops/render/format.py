"""Single values as text. An unknown figure is a dash, never a zero."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from .width import with_short_names, wrapped_text

DASH, CUT = "-", "..."
MAX_LINE_LENGTH, MAX_LINES = 2000, 200
_BINARY, _DECIMAL = ("B", "KiB", "MiB", "GiB", "TiB"), ("B", "kB", "MB", "GB", "TB")


def printable(text: Any) -> str:
    """Text from the host with control characters, newlines included, shown as escapes (\\x1b)."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else _escape(c) for c in plain)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def printable_lines(text: Any, longest: int = MAX_LINE_LENGTH, most: int = MAX_LINES) -> list[str]:
    """The lines of a text from the host, each made printable; tabs become spaces. Long lines are
    cut, and lines beyond `most` are counted only."""
    lines = str(text)[: longest * most].splitlines()
    texts = [
        printable(line[:longest].expandtabs()) + (CUT if len(line) > longest else "")
        for line in lines[:most]
    ]
    return [*texts, f"{CUT} ({len(lines) - most} more lines)"] if len(lines) > most else texts


def cell(value: Any) -> str:
    return DASH if value is None or value == "" else printable(value)


def size(count: float | None) -> str:
    """Bytes of memory, in binary units with three significant digits: 512 B, 1.50 GiB, 191 GiB."""
    return _scaled(count, 1024, _BINARY)


def file_size(count: float | None) -> str:
    """Bytes of files, in decimal units as on the Hub: 512 B, 1.50 GB, 191 GB."""
    return _scaled(count, 1000, _DECIMAL)


def _scaled(count: float | None, base: int, units: tuple[str, ...]) -> str:
    if count is None:
        return DASH
    scaled, unit = float(count), 0
    while scaled >= 999.5 and unit < len(units) - 1:
        scaled, unit = scaled / base, unit + 1
    return f"{_digits(scaled) if unit else int(scaled)} {units[unit]}"


def _digits(number: float) -> str:
    return (
        f"{number:.2f}"
        if number < 9.995
        else f"{number:.1f}"
        if number < 99.95
        else f"{number:.0f}"
    )


def byte_rate(bytes_per_s: float | None) -> str:
    return DASH if bytes_per_s is None else f"{file_size(bytes_per_s)}/s"


def duration(seconds: float | None) -> str:
    """A duration by its two largest units: 0.4 s, 12 s, 3 m 05 s, 2 h 04 m, 3 d 04 h."""
    if seconds is None or seconds < 0:
        return DASH
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, smaller, its in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // smaller:02d} {its}"
    return f"{whole} s"


def timestamp(text: Any) -> float | None:
    """Seconds since the epoch of a time in UTC as the host writes it; None for anything else."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return None


def age(text: Any, now: Callable[[], float] = time.time) -> str:
    """How long ago a time was, in its largest unit: 12 s, 3 min, 5 h, 2 d. A future time counts as
    now."""
    since = timestamp(text)
    return cell(text) if since is None else _largest_unit(now() - since)


def ago(text: Any, now: Callable[[], float] = time.time) -> str:
    """A time as a person says it: 3 min ago, in 5 h. A clock that is ahead by less than a minute
    does not make a time a future one."""
    since = timestamp(text)
    if since is None:
        return cell(text)
    passed = now() - since
    return f"in {_largest_unit(-passed)}" if passed <= -60 else f"{_largest_unit(passed)} ago"


def _largest_unit(seconds: float) -> str:
    units = ((86400, "d"), (3600, "h"), (60, "min"))
    unit, name = next(((u, n) for u, n in units if seconds >= u), (1, "s"))
    return f"{max(0.0, seconds) // unit:.0f} {name}"


_TIME = re.compile(r"(?:\b(since |at ))?\b(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")


def with_relative_times(text: str, now: Callable[[], float] = time.time) -> str:
    """A text with the host's times as `ago` says them: by alice since 2026-11-28T07:58:20Z becomes
    by alice (3 min ago)."""

    def relative(match: re.Match[str]) -> str:
        relative = ago(match[2], now)
        return f"({relative})" if match[1] == "since " else relative

    return _TIME.sub(relative, text) if "Z" in text else text


def for_people(text: str, room: int | None) -> str:
    """A text with relative times; for a terminal, long names shortened and lines broken between
    words."""
    return wrapped_text(with_short_names(with_relative_times(text), room), room)


def who(user: Any, machine: Any) -> str:
    """USER@MACHINE, as far as it is known."""
    return "@".join(printable(one) for one in (user, machine) if one) or DASH


def counted(count: int, noun: str, plural: str = "") -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def latency(milliseconds: float | None) -> str:
    return DASH if milliseconds is None else f"{milliseconds:.0f} ms"


def token_rate(tokens_per_s: float | None) -> str:
    return (
        DASH
        if tokens_per_s is None
        else f"{tokens_per_s:.0f}"
        if tokens_per_s >= 99.95
        else f"{tokens_per_s:.1f}"
    )


def port_ranges(ports: Iterable[int] | None) -> str:
    """Ports, with consecutive ones joined: 8100-8109, 9000."""
    joined: list[list[int]] = []
    for port in sorted(ports or ()):
        if joined and joined[-1][-1] == port - 1:
            joined[-1][1:] = [port]
        else:
            joined.append([port])
    return ", ".join("-".join(map(str, ends)) for ends in joined) or DASH
