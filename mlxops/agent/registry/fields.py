"""Convert single fields of a registry entry to their types. Pure."""

from __future__ import annotations

import re
from typing import Any, List, Optional

from ..errors import RegistryInvalid

MAX_HOSTS = 10
# ssh would read a name that starts with a dash as an option.
HOST_NAME = re.compile(r"[A-Za-z0-9_][\w.@-]{0,250}", re.A)


def as_port(name: str, key: str, value: Any) -> Optional[int]:
    """A port; None for null or an empty text."""
    if value is None or value == "":
        return None
    try:
        number = int(value)
        if number == float(value) and not isinstance(value, bool) and 0 < number < 65536:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise RegistryInvalid(
        "entry %r: `%s` is %r, not a port" % (name, key, value), entry=name, field=key
    )


def as_args(name: str, value: Any) -> List[str]:
    """Words of a command line; a single text is one word."""
    items = [value] if isinstance(value, str) else (value or [])
    if isinstance(items, list) and all(map(_is_word, items)):
        return [str(item) for item in items]
    raise RegistryInvalid(
        "entry %r: `args` is not a list of words" % name, entry=name, field="args"
    )


def as_hosts(name: str, value: Any) -> List[str]:
    """NAME=ADDRESS of two or more hosts."""
    items = [value] if isinstance(value, str) else value
    form = re.compile(HOST_NAME.pattern + r"=\d{1,3}(\.\d{1,3}){3}", re.A)
    plain = isinstance(items, list) and all(
        isinstance(item, str) and form.fullmatch(item) for item in items
    )
    if plain and 2 <= len(items) <= MAX_HOSTS:
        return list(items)
    text = "entry %r: `hosts` must list 2 to %d NAME=ADDRESS pairs, this host first"
    raise RegistryInvalid(text % (name, MAX_HOSTS), entry=name, field="hosts")


def _is_word(item: Any) -> bool:
    """Whether it can be a word of a command line: a text or a number, but not true or false."""
    return is_text(item) or (isinstance(item, (int, float)) and not isinstance(item, bool))


def is_text(value: Any) -> bool:
    """Whether it can be a path or a word of a command line: text without NUL that UTF-8 can
    encode."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
