"""The reverse of an edit of entries. Pure: it needs the edit and the registry as it is now.

It never assigns a port or a process: what moved servers is reverted by moving them."""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..errors import AssignmentConflict, mlxops_command
from ..registry.entries import Entry, Registry, coerce
from .edit import OF_PORTS, Edit, FieldChange
from .rows import HistoryRow

# What describes where a server is, was or should be. Only load, unload and reconcile change it.
MOVED = ("port", "process", "last_process", "start_s", "wanted")
PREFIX = "undo of "


class Step(NamedTuple):
    """One change that the reverse makes: add, remove, rename or set."""

    action: str
    entry: str
    reason: str


class Reversal(NamedTuple):
    registry: Registry
    steps: Tuple[Step, ...]


def moved_servers(edit: Edit) -> bool:
    """Whether it is not an edit of entries, but part of a load, an unload or a reconcile."""
    whole = {*edit.added, *edit.removed}
    edits = [c for c in edit.changes if c.entry in whole or c.field not in MOVED]
    return edit.kind in OF_PORTS or not edits


def name_of_undo(why: str) -> str:
    """The reason of the edit that undoes one: the undo of an undo of an undo is an undo."""
    name = PREFIX + why
    return name[2 * len(PREFIX) :] if name.startswith(3 * PREFIX) else name


def revert_command(now: Registry, row: HistoryRow) -> str:
    """The command that reverts what moved servers; "" if there is nothing to revert, or the entry
    is gone."""
    if row.port is None or row.outcome not in ("done", "running"):
        return ""
    if row.before is None:
        return "" if row.kind in ("unload", "lost") else mlxops_command("unload", row.port)
    if row.before == row.after or row.before not in now.entries:
        return ""
    more = () if row.kind in ("unload", "lost") else ("--replace",)
    return mlxops_command("load", row.before, row.port, *more)


def reverse(now: Registry, edit: Edit) -> Reversal:
    """The registry without the edit; AssignmentConflict if something that it changed has changed
    again."""
    renamed = _renamed(edit)
    if renamed:
        return _rename_back(now, *renamed)
    steps: List[Step] = []
    for name in edit.added:
        _require_same(now, edit, name)
        now = now.drop(name)
        steps.append(Step("remove", name, "it was added by: " + edit.why))
    for name in edit.removed:
        entry, left_out = _restored(now, edit, name)
        now = now.put(entry)
        steps.append(Step("add", name, (entry.repo_id or entry.cache_path) + left_out))
    for name in edit.entries:
        if name not in (*edit.added, *edit.removed):
            rows = _settings(edit, name)
            _require_same(now, edit, name)
            now = now.put(now.entries[name].with_fields(**{r.field: r.before for r in rows}))
            steps += [_set(row) for row in rows]
    return Reversal(now, tuple(steps))


def _set(row: FieldChange) -> Step:
    texts = (_text(row.after), _text(row.before))
    return Step("set", row.entry, "%s: %s -> %s" % (row.field, *texts))


def _text(value: Any) -> str:
    return "not set" if value is None else value if isinstance(value, str) else json.dumps(value)


def _settings(edit: Edit, name: str) -> List[FieldChange]:
    return [c for c in edit.changes if c.entry == name and c.field not in MOVED]


def _renamed(edit: Edit) -> Optional[Tuple[str, str]]:
    """The old and the new name, if the edit gave one entry another name."""
    if len(edit.added) != 1 or len(edit.removed) != 1:
        return None
    old, new = edit.removed[0], edit.added[0]
    was = {c.field: c.before for c in edit.changes if c.entry == old}
    became = {c.field: c.after for c in edit.changes if c.entry == new}
    return (old, new) if was == became else None


def _rename_back(now: Registry, old: str, new: str) -> Reversal:
    if new not in now.entries:
        raise _changed(new, "%s is no longer in the registry" % new)
    if old in now.entries:
        raise _changed(old, "the name %s is in use again" % old)
    entries = {
        old if key == new else key: entry._replace(name=old) if key == new else entry
        for key, entry in now.entries.items()
    }
    return Reversal(Registry(entries, now.extra), (Step("rename", new, "to " + old),))


def _require_same(now: Registry, edit: Edit, name: str) -> None:
    """AssignmentConflict unless the entry's settings are what the edit made them."""
    entry = now.entries.get(name)
    if entry is None:
        raise _changed(name, "%s is no longer in the registry" % name)
    if name in edit.added and entry.port is not None:
        raise AssignmentConflict(
            "not undone: %s is assigned to port %d" % (name, entry.port),
            mlxops_command("unload", entry.port),
            entry=name,
            port=entry.port,
        )
    rows = _settings(edit, name)
    known = {row.field for row in rows}
    fields = [row.field for row in rows if entry.fields.get(row.field) != row.after]
    if name in edit.added:
        fields += [key for key in entry.fields if key not in known and key not in MOVED]
    if fields:
        raise _changed(name, "%s of %s changed since" % (" and ".join(fields), name), fields)


def _restored(now: Registry, edit: Edit, name: str) -> Tuple[Entry, str]:
    """The entry that was removed, and what of it is left out, in words."""
    if name in now.entries:
        raise _changed(name, "the name %s is in use again" % name)
    fields = {c.field: c.before for c in edit.changes if c.entry == name}
    twin = [e.name for e in now.entries.values() if _same_model(e, fields)]
    if twin:
        what = fields.get("repo_id") or fields.get("cache_path")
        raise _changed(twin[0], "%s is registered as %s now" % (what, twin[0]))
    wanted = fields.get("wanted")
    rivals = [e.name for e in now.wanting(wanted)] if type(wanted) is int else []
    for key in ("process", *(("wanted",) if rivals else ())):
        fields.pop(key, None)
    left_out = ", without port %s, which %s wants now" % (wanted, rivals[0]) if rivals else ""
    return coerce(name, {**fields, "port": None})._replace(stored=None), left_out


def _same_model(entry: Entry, fields: Dict[str, Any]) -> bool:
    """Whether the entry is of the repository, or the local folder, of these fields."""
    repo, path = fields.get("repo_id"), fields.get("cache_path")
    if isinstance(repo, str) and repo:
        return entry.repo_id.lower() == repo.lower()
    return isinstance(path, str) and bool(path) and entry.cache_path == path


def _changed(name: str, why: str, fields: Optional[List[str]] = None) -> AssignmentConflict:
    hint = mlxops_command("history", name)
    return AssignmentConflict("not undone: " + why, hint, entry=name, fields=fields or [])
