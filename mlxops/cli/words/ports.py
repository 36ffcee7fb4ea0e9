"""Ports as they are typed: numbers, names, lists and ranges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ...agent.errors import Usage
from ...hosts.files import Host
from ...render.format import port_ranges
from .models import AROUND, model_word

RANGE = re.compile(r"(\d{1,5})\s*(?:-|\.\.|\u2013)\s*(\d{1,5})", re.ASCII)


def port_words(host: Host, typed: Iterable[str]) -> list[int | str]:
    """The ports of these words, each once: numbers, and names that only the host can resolve. A
    word may be a list (8100,8101) or a range (8100-8103) of the host's ports."""
    return list(dict.fromkeys(one for word in typed for one in _expanded(host, word)))


def port_word(host: Host, typed: str) -> int | str:
    """The one port that a word names."""
    ports = port_words(host, [typed])
    if len(ports) == 1:
        return ports[0]
    raise Usage(f"expected one port, got {typed!r}", host.ports_hint(), port=typed)


def _expanded(host: Host, typed: str) -> Iterator[int | str]:
    word = typed.strip(AROUND)
    if word in host.slots:
        yield word
        return
    pieces = [piece.strip(AROUND) for piece in word.split(",")]
    for piece in [piece for piece in pieces if piece] or [word]:
        if between := RANGE.fullmatch(piece):
            yield from _range(host, int(between[1]), int(between[2]))
        else:
            yield host.port_word(
                piece if piece.isdecimal() or not piece else model_word(piece).name
            )


def _range(host: Host, first: int, last: int) -> list[int]:
    """The ports from first to last; Usage if it is reversed, or if some are not the host's."""
    word = f"{first}-{last}"
    if first > last:
        raise Usage(f"the range {word} is reversed", f"did you mean {last}-{first}?", port=word)
    known: list[int] = host.site["ports"]
    inside = [port for port in known if first <= port <= last]
    outside = set(range(first, last + 1)) - set(known)
    if outside:
        text = f"{port_ranges(outside)} of {word} are not ports of {host.name}"
        if len(outside) == 1:
            text = f"{port_ranges(outside)} of {word} is not a port of {host.name}"
        hint = f"did you mean {port_ranges(inside)}?" if inside else host.ports_hint()
        raise Usage(text, hint, port=word, outside=sorted(outside)[:100])
    return inside
