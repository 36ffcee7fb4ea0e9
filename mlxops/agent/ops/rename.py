"""rename: give an entry another name. Its server keeps running."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

from ..context import Context
from ..errors import AssignmentConflict, Usage, mlxops_command
from ..jobs.reservations import require_unreserved
from ..jobs.starts import rename_starts
from ..ports.portname import find_slot
from ..registry import resolve
from ..registry.action import Action
from ..registry.entries import Entry, Registry
from ..servers.unrecorded import record_unrecorded
from .rows import entry_row


def rename(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    entry = resolve.require_exact(ctx.store.read(), str(args["name"]))
    name, new = entry.name, str(args["new"])
    resolve.require_valid_name(new)
    if new == name:
        raise Usage("%s already has this name" % name, mlxops_command("show", name), entry=name)
    dry = bool(args.get("dry_run"))
    if entry.port is not None and not dry:
        # A server that is not recorded yet is known by the old name.
        record_unrecorded(ctx, [entry.port])

    def change(current: Registry) -> Registry:
        entry = resolve.require_exact(current, name)
        require_unreserved(ctx, [name, new])
        _require_unused(ctx, current, entry, new)
        _require_same_served_name(ctx, entry, new)
        return _renamed(current, name, new)

    if dry:
        after = change(ctx.store.read())
    else:
        after = ctx.store.edit("rename %s %s" % (name, new), change)
        rename_starts(ctx.procs, ctx.site.state_dir, name, new)
    action = Action("rename", name, entry.port, "to %s" % new, applied=not dry)
    return {
        "entry": entry_row(after.entries[new]),
        "previous": name,
        "changed": not dry,
        "actions": [action.to_wire()],
        "warnings": _warnings(ctx, after.entries[new], name),
    }


def _renamed(registry: Registry, name: str, new: str) -> Registry:
    """The registry with the entry at the same place in the file."""
    entries = {
        new if key == name else key: entry._replace(name=new) if key == name else entry
        for key, entry in registry.entries.items()
    }
    return Registry(entries, registry.extra)


def _require_unused(ctx: Context, current: Registry, entry: Entry, new: str) -> None:
    """AssignmentConflict if the name means another entry, or a port that is not the entry's."""
    other = resolve.find_exact(current.drop(entry.name), new)
    if other is not None:
        what = "an entry" if other.name == new else "a name of the entry %s" % other.name
        text = "%s was not renamed: %s is already %s" % (entry.name, new, what)
        raise AssignmentConflict(text, mlxops_command("show", other.name), entry=other.name)
    slot = find_slot(ctx.site, new)
    if slot is not None and slot.port not in _ports(entry):
        text = "%s was not renamed: %s is the slot of port %d"
        raise AssignmentConflict(
            text % (entry.name, slot.name, slot.port),
            "choose a name that is not the name of a port",
            entry=entry.name,
            port=slot.port,
        )


def _ports(entry: Entry) -> Tuple[int, ...]:
    """The ports that the entry is on, wants, or is planned for."""
    ports = (entry.port, entry.wanted, entry.slot)
    return tuple(port for port in ports if port is not None)


def _answers_to(ctx: Context, entry: Entry, port: int, name: str) -> str:
    """The model name of a server of the entry on a port, if the entry had this name."""
    fixed = ctx.site.runtime_named(entry.text("runtime")).client_model
    return fixed or ctx.site.served_name(port, name)


def _require_same_served_name(ctx: Context, entry: Entry, new: str) -> None:
    """AssignmentConflict if clients of the running server ask for the entry's name."""
    port = entry.port
    if port is None or _answers_to(ctx, entry, port, new) == _answers_to(
        ctx, entry, port, entry.name
    ):
        return
    raise AssignmentConflict(
        "port %d has no slot in the host file, so its clients ask for %s" % (port, entry.name),
        "mlxops unload %d, then rename it and load it as %s" % (port, new),
        entry=entry.name,
        port=port,
    )


def _warnings(ctx: Context, entry: Entry, old: str) -> List[str]:
    """The ports on which clients will need another name after the next load."""
    ports = dict.fromkeys(_ports(entry))
    text = "after the next load on port %d, clients must ask for %s, not for %s"
    planned = [slot.port for slot in ctx.site.slots.values() if slot.model == old]
    declared = "slots.%d.model of the host file is still %s: write %s there"
    named = [declared % (port, old, entry.name) for port in planned if not entry.repo_id]
    return named + [
        text % (port, entry.name, old)
        for port in ports
        if _answers_to(ctx, entry, port, old) != _answers_to(ctx, entry, port, entry.name)
    ]
