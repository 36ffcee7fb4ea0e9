"""Which rows of the history are meant: ports, slots, and names that entries have or had."""

from __future__ import annotations

import re
from typing import FrozenSet, List, NamedTuple, Sequence, Set

from ..context import Context
from ..errors import ModelUnknown
from ..ports.portname import find_slot, similar_names
from ..registry.entries import Registry
from .rows import HistoryRow

SPAN = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
MAX_SPAN = 1000


class Choice(NamedTuple):
    """`names`: in lower case. `since`: a moment in UTC, or "". Without ports and names: all."""

    ports: FrozenSet[int]
    names: FrozenSet[str]
    since: str

    def matches(self, row: HistoryRow) -> bool:
        if (row.ended or row.at) < self.since:
            return False
        if not self.ports and not self.names:
            return True
        return row.port in self.ports or bool({name.lower() for name in row.names} & self.names)


def choose(ctx: Context, registry: Registry, words: Sequence[str], since: str) -> Choice:
    """What the words mean. A name of a slot that is also an entry's means both."""
    ports: Set[int] = set()
    names: Set[str] = set()
    for word in (part for one in words for part in one.split(",") if part):
        span = SPAN.fullmatch(word)
        slot = find_slot(ctx.site, word)
        if span:
            first, last = int(span[1]), int(span[2] or span[1])
            ports.update(range(first, min(last, first + MAX_SPAN) + 1))
        elif slot:
            ports.add(slot.port)
            names.add(word.lower())
        else:
            names.update({word.lower(), *_of_model(registry, word)})
    return Choice(frozenset(ports), frozenset(names), since)


def _of_model(registry: Registry, word: str) -> List[str]:
    """The entries of a model given as org/name."""
    entries = registry.entries.values()
    return [
        e.name.lower() for e in entries if word.lower() in (e.repo_id.lower(), e.model_id.lower())
    ]


def require_known(
    ctx: Context, registry: Registry, choice: Choice, rows: Sequence[HistoryRow]
) -> None:
    """ModelUnknown for a name that no entry has or had."""
    had = {name for row in rows for name in row.names}
    known = {*registry.entries, *had}
    lower = {name.lower() for name in known} | ctx.site.slot_names
    repos = {e.repo_id.lower() for e in registry.entries.values()}
    for word in sorted(choice.names - lower - repos):
        near = similar_names(word, dict.fromkeys(sorted(known)))
        hint = "did you mean %s?" % ", ".join(near) if near else "mlxops list"
        text = "no entry is or was named %r, as far as the history goes back" % word
        raise ModelUnknown(text, hint, model=word, near=near)
