"""Checks of values, the same for the command line, host files and requests.

Each returns the value as the program uses it, or raises ValueError with the rule."""

from __future__ import annotations

import re
import time
from typing import Any, Callable, Dict, List, Optional

from ..clock import epoch

MAX_SECONDS = 1e6
MAX_PORTS = 256
MAX_LINES = 10_000_000
MAX_TEXT_BYTES, MAX_WORD_BYTES = 4096, 200
MAX_WORDS = 1000
# Rows of a history.
MAX_ROWS = 5000
# Steps of a plan at once.
MAX_JOBS = 16
# Tokens; more than any model supports.
MAX_CONTEXT = 1 << 24
_DURATION = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def seconds(value: Any) -> float:
    """Finite and positive: waiting for nan would end at once, for infinity never."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value <= MAX_SECONDS
    ):
        raise ValueError("must be a number of seconds above 0, at most %.0f" % MAX_SECONDS)
    return value


def port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise ValueError("must be a port, 1 to 65535")
    return value


def port_or_word(value: Any) -> Any:
    """A port, or the name of a slot or an entry, of any length."""
    return text(value) if isinstance(value, str) else port(value)


def ports(value: Any) -> List[Any]:
    """A list of ports or names, without duplicates."""
    if not isinstance(value, list) or len(value) > MAX_PORTS:
        raise ValueError("must be a list of at most %d ports" % MAX_PORTS)
    return list(dict.fromkeys(port_or_word(one) for one in value))


def pids(value: Any) -> List[int]:
    if (
        not isinstance(value, list)
        or len(value) > MAX_WORDS
        or not all(type(one) is int and one > 0 for one in value)
    ):
        raise ValueError("must be a list of at most %d process ids" % MAX_WORDS)
    return list(value)


def count(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError("must be a number from %d to %d" % (least, most))
        return value

    return check


def choice(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            raise ValueError("must be one of %s" % ", ".join(words))
        return str(value)

    return check


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def text(value: Any, longest: int = MAX_TEXT_BYTES) -> str:
    """Text that is valid in a path or a command line."""
    try:
        size = len(value.encode("utf-8", "surrogateescape")) if isinstance(value, str) else -1
    except UnicodeEncodeError:
        size = -1
    if not 0 <= size <= longest or "\0" in value:
        raise ValueError("must be text of at most %d bytes, without NUL" % longest)
    return str(value)


def since(value: Any) -> str:
    """A duration such as 10m, or a time in UTC such as 2026-11-28T07:58:20Z."""
    if not isinstance(value, str) or not (_DURATION.fullmatch(value) or _UTC.fullmatch(value)):
        raise ValueError("must be a duration such as 30s, 10m, 2h or 3d, or a time in UTC")
    return value


def duration_s(value: str) -> Optional[float]:
    """Seconds of a duration such as 10m; None for another text."""
    match = _DURATION.fullmatch(value)
    if match is None:
        return None
    return float(match.group(1)) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match.group(2)]


def moment_s(value: str) -> Optional[float]:
    """The moment of a `since`, in seconds since the epoch by this machine's clock."""
    age = duration_s(value)
    return epoch(value) if age is None else time.time() - age


def word(value: Any) -> str:
    return text(value, MAX_WORD_BYTES)


def long_text(value: Any) -> str:
    return text(value, 1 << 17)


def words(value: Any) -> List[str]:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_WORDS:
        raise ValueError("must be a list of at most %d words" % MAX_WORDS)
    return [long_text(one) for one in value]


def fields(value: Any) -> Dict[str, Optional[str]]:
    """Field names and their values; None clears a field."""
    if not isinstance(value, dict) or len(value) > MAX_WORDS:
        raise ValueError("must be an object of at most %d fields" % MAX_WORDS)
    return {word(key): None if one is None else long_text(one) for key, one in value.items()}
