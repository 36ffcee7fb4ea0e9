"""One edit of the registry, from a line of its history. Pure."""

from __future__ import annotations

import re
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from ..clock import epoch

# What an edit is, from the reason it was given.
FORMS = (
    ("load", re.compile(r"load (?P<entry>.+) (?P<port>\d+)")),
    ("ready", re.compile(r"serves on (?P<port>\d+)")),
    ("undone", re.compile(r"undo load on (?P<port>\d+)")),
    ("unload", re.compile(r"unload (?P<port>\d+)( to make room for .*)?")),
    ("lost", re.compile(r"reconcile: (?P<entry>.+) on (?P<port>\d+) is gone")),
    ("adopt", re.compile(r"note what serves on (?P<port>\d+)")),
)
# Edits by the work on a port.
OF_PORTS = tuple(kind for kind, _ in FORMS)
# Fields that only describe a server; no person sets them.
INTERNAL = ("process", "last_process", "start_s")
REQUIRED = ("repo_id", "model_id", "cache_path", "format", "port")
MAX_VALUE, MAX_CHANGES = 300, 60


class FieldChange(NamedTuple):
    """One field of an entry before and after; None for an absent one."""

    entry: str
    field: str
    before: Any
    after: Any

    def to_wire(self) -> Mapping[str, Any]:
        return {**self._asdict(), "before": _short(self.before), "after": _short(self.after)}


class Edit(NamedTuple):
    """One edit. `at`: in UTC; `kind`: one of OF_PORTS, else the verb; `origin`: the machine it came
    from."""

    at: str
    who: Optional[str]
    origin: Optional[str]
    why: str
    kind: str
    port: Optional[int]
    entry: Optional[str]
    changes: Tuple[FieldChange, ...]

    @property
    def added(self) -> List[str]:
        """The entries that it added."""
        return [name for name in self.entries if self._all_empty(name, "before")]

    @property
    def removed(self) -> List[str]:
        return [name for name in self.entries if self._all_empty(name, "after")]

    @property
    def entries(self) -> List[str]:
        return list(dict.fromkeys(change.entry for change in self.changes))

    def _all_empty(self, name: str, side: str) -> bool:
        """Whether an entry was not there on this side: a row for each required field shows it."""
        rows = {c.field: getattr(c, side) for c in self.changes if c.entry == name}
        return set(REQUIRED) <= set(rows) and all(value is None for value in rows.values())

    def holder(self, side: str) -> Optional[str]:
        """The entry that had the port before or has it after, as far as the edit shows it."""
        held = [
            change.entry
            for change in self.changes
            if change.field == "port" and getattr(change, side) == self.port is not None
        ]
        return held[0] if held else None


def parse_edit(line: Mapping[str, Any]) -> Optional[Edit]:
    """The edit of a line; None if the line is damaged."""
    at, why, rows = line.get("at"), line.get("what"), line.get("changes")
    if epoch(at) is None or not isinstance(why, str) or not isinstance(rows, list):
        return None
    changes = tuple(change for change in map(_change, rows) if change)
    kind, port, entry = _form(why)
    if kind not in OF_PORTS and port is None:
        port = _port(changes)
    return Edit(
        at=str(at),
        who=text_or_none(line.get("who")),
        origin=text_or_none(line.get("from")),
        why=why,
        kind=kind,
        port=port,
        entry=entry,
        changes=changes,
    )


def text_or_none(value: Any) -> Optional[str]:
    return value if isinstance(value, str) else None


def _form(why: str) -> Tuple[str, Optional[int], Optional[str]]:
    for kind, form in FORMS:
        match = form.fullmatch(why)
        if match and len(match["port"]) < 6:
            return kind, int(match["port"]), match.groupdict().get("entry")
    return why.partition(" ")[0] or "edit", None, None


def _change(row: Any) -> Optional[FieldChange]:
    if not (
        isinstance(row, dict)
        and isinstance(row.get("entry"), str)
        and isinstance(row.get("field"), str)
    ):
        return None
    return FieldChange(row["entry"], row["field"], row.get("before"), row.get("after"))


def _port(changes: Tuple[FieldChange, ...]) -> Optional[int]:
    """The port of an edit that is not by work on one: the only one that an entry got or lost."""
    ports = {v for c in changes if c.field == "port" for v in (c.before, c.after)} - {None}
    only = ports.pop() if len(ports) == 1 else None
    return only if type(only) is int else None


def _short(value: Any) -> Any:
    """A value for an answer: a long one is cut, as it is only shown."""
    text = value if isinstance(value, str) else None if value is None else str(value)
    return value if text is None or len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"
