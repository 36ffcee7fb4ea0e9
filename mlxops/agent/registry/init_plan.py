"""Plan what `init` changes: new entries, new paths, and servers that are already running. Pure."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..errors import mlxops_command
from .entries import REQUIRED, Entry, Registry
from .resolve import typable_name


class CachedModel(NamedTuple):
    """A complete MLX chat model on this host, with the defaults of its family; `notes`: what is
    missing. `place`: the identity of its folder.

    `repo_id`: "" for a model in a folder outside of the Hub's cache, which then has a `label`."""

    repo_id: str
    path: str
    proposed: Mapping[str, Any]
    notes: Tuple[str, ...] = ()
    place: str = ""
    label: str = ""


class Running(NamedTuple):
    """A server on a port: the model in its command line, and the record of its process for the
    registry.

    `repo_id`: the repository if the model is in the cache, else "". `place`: the identity of the
    folder that it names."""

    port: int
    model: str
    record: Mapping[str, Any]
    repo_id: str = ""
    place: str = ""


class Change(NamedTuple):
    """One step of the plan. `entry`: as it would be stored, None if the step only says why nothing
    is done. `name`: "" if it is about no entry."""

    action: str
    name: str
    port: Optional[int]
    reason: str
    entry: Optional[Entry]


def format_value(value: object) -> str:
    """Format a field's value for a sentence."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


class Slots(NamedTuple):
    """From the host file: repo_id -> its planned port, and the names of slots in lower case."""

    planned: Mapping[str, int]
    names: FrozenSet[str]


def plan(
    registry: Registry,
    found: Iterable[CachedModel],
    running: Iterable[Running],
    slots: Slots,
    taken: Mapping[str, int],
    places: Mapping[str, str] = {},
) -> Tuple[Change, ...]:
    """All changes, in order. Nothing is removed, and no entry gets the name of a slot, as that
    names a port.

    `places`: entry -> the identity of its folder. `taken`: entry -> port of the load in progress
    that works on it; init leaves those entries alone."""
    changes: List[Change] = []
    added: List[Tuple[Change, str]] = []
    running = list(running)
    served = {server.model: server.port for server in running}
    for model in found:
        steps = [
            _leave_alone(_keep_path(step, registry, served), taken)
            for step in _for_model(registry, model, slots, places)
        ]
        changes += steps
        added += [(step, model.place) for step in steps if step.action == "add"]
        registry = apply(registry, steps)
    found_at = {**places, **{c.name: p for c, p in added}}
    for server in running:
        change = _for_server(registry, server, found_at)
        if change is not None:
            changes.append(_leave_alone(change, taken))
            registry = apply(registry, changes[-1:])
    return tuple(changes)


def _keep_path(change: Change, registry: Registry, served: Mapping[str, int]) -> Change:
    """Leave the path of an entry whose server is running from it and will be adopted."""
    there = registry.entries.get(change.name)
    port = served.get(there.cache_path) if there is not None and there.cache_path else None
    if change.action != "refresh" or change.entry is None or port is None:
        return change
    return change._replace(
        entry=None, reason="a newer snapshot exists, but this one is in use on port %d" % port
    )


def _leave_alone(change: Change, ports: Mapping[str, int]) -> Change:
    if change.entry is None or change.name not in ports:
        return change
    return change._replace(entry=None, reason="in use by a load on port %d" % ports[change.name])


def apply(registry: Registry, changes: Iterable[Change]) -> Registry:
    return registry.put(*(c.entry for c in changes if c.entry))


def _for_model(
    registry: Registry, model: CachedModel, slots: Slots, places: Mapping[str, str]
) -> List[Change]:
    here = {
        e.name
        for e in registry.entries.values()
        if model.place and places.get(e.name) == model.place
    }
    if not model.repo_id and not here:
        return [_moved(registry, model, places) or _added(registry, model, slots)]
    # The Hub ignores case in names.
    known = [
        e
        for e in registry.entries.values()
        if model.repo_id and e.repo_id.lower() == model.repo_id.lower()
    ]
    if not known and not here:
        return [_added(registry, model, slots)]
    return [
        _refreshed(e, model)
        for e in known
        if not e.text("revision") and e.cache_path != model.path and e.name not in here
    ]


def _moved(registry: Registry, model: CachedModel, places: Mapping[str, str]) -> Optional[Change]:
    """Not added: the model of an entry whose folder is gone, as it seems, in another place."""
    name = _folder_name(model.path)
    for entry in registry.entries.values():
        # An existing folder is identified by numbers.
        gone = places.get(entry.name, "").startswith("/")
        if gone and not entry.repo_id and _folder_name(entry.cache_path) == name:
            command = mlxops_command("set", entry.name, "cache_path=" + model.path)
            reason = "%s does not exist; if it is now %s: %s"
            return Change(
                action="refresh",
                name=entry.name,
                port=entry.port,
                reason=reason % (entry.cache_path, model.path, command),
                entry=None,
            )
    return None


def _folder_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2].lower()


def _refreshed(entry: Entry, model: CachedModel) -> Change:
    if entry.port is not None:
        reason = "a newer snapshot exists; the path stays until the model is unloaded"
        return Change(action="refresh", name=entry.name, port=entry.port, reason=reason, entry=None)
    return Change(
        action="refresh",
        name=entry.name,
        port=None,
        reason="now at " + model.path,
        entry=entry.with_fields(cache_path=model.path),
    )


def _added(registry: Registry, model: CachedModel, slots: Slots) -> Change:
    named = model.repo_id or model.label
    name = free_name(registry, named, slots.names)
    fields: Dict[str, Any] = {
        **REQUIRED,
        "repo_id": model.repo_id,
        "model_id": model.repo_id,
        "cache_path": model.path,
    }
    planned = {word.lower(): port for word, port in slots.planned.items()}
    port = planned.get(model.repo_id.lower() or name)
    if port is not None and port not in [e.slot for e in registry.entries.values()]:
        fields["slot"] = port
    entry = Entry(name, {**fields, **model.proposed})
    proposed = ", ".join(
        "%s %s" % (key, format_value(value)) for key, value in model.proposed.items()
    )
    where = named if model.repo_id else model.path
    reason = "; ".join([where + (" with " + proposed if proposed else ""), *model.notes])
    return Change(action="add", name=name, port=None, reason=reason, entry=entry)


def _for_server(registry: Registry, server: Running, places: Mapping[str, str]) -> Optional[Change]:
    if registry.holders(server.port):
        return None
    match = [
        e
        for e in registry.entries.values()
        if (server.model and server.model in (e.cache_path, e.repo_id))
        or (server.place and server.place == places.get(e.name))
    ]
    if not match:
        return Change(
            action="adopt", name="", port=server.port, reason=_unnamed(registry, server), entry=None
        )
    # A free entry comes before one that is served elsewhere.
    entry = min(match, key=lambda e: e.port is not None)
    if entry.port is not None:
        reason = "it is running here too, but is assigned to port %d" % entry.port
        return Change(action="adopt", name=entry.name, port=server.port, reason=reason, entry=None)
    adopted = entry.with_fields(port=server.port, process=dict(server.record))
    return Change(
        action="adopt",
        name=entry.name,
        port=server.port,
        reason="pid %d serves it" % server.record["pid"],
        entry=adopted,
    )


def _unnamed(registry: Registry, server: Running) -> str:
    """Why a server is not adopted, and the commands that make init adopt it."""
    kin = [
        e
        for e in registry.entries.values()
        if server.repo_id and e.repo_id.lower() == server.repo_id.lower()
    ]
    if kin:
        text = "it serves %s, another snapshot of %s (entry %s): %s; or, for the entry's own: %s"
        own = mlxops_command("set", kin[0].name, "cache_path=" + server.model) + " && mlxops init"
        swap = mlxops_command("load", kin[0].name, server.port, "--replace")
        return text % (server.model, kin[0].repo_id, kin[0].name, own, swap)
    if server.repo_id or not server.model:
        add = mlxops_command("register", "NAME", server.repo_id or "ORG/NAME")
        if server.model:
            add += " && " + mlxops_command("set", "NAME", "cache_path=" + server.model)
    else:
        add = mlxops_command("register", "--path", server.model)
    return "it serves %s, which has no entry: %s && mlxops init" % (server.model or "?", add)


def free_name(registry: Registry, repo_id: str, slot_names: FrozenSet[str]) -> str:
    """An unused name for an entry: that of the repository or folder, else a longer one. It is not a
    number, which would be a port."""
    short, full = repo_id.split("/")[-1].lower(), repo_id.lower().replace("/", "-")
    names = [typable_name(short), typable_name(full)] if not short.isdecimal() else []
    full = typable_name(full)
    names += [
        full,
        *("%s-%d" % (full, n) for n in range(2, len(registry.entries) + len(slot_names) + 3)),
    ]
    reserved = {name.lower() for name in registry.entries} | slot_names
    return next(name for name in names if name not in reserved)
