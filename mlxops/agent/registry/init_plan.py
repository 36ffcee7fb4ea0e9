"""What `init` would change: entries for models found, paths that moved, servers already running.
Pure."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..errors import mlxops_command
from .entries import REQUIRED, Entry, Registry


class CachedModel(NamedTuple):
    """A whole MLX chat model in the cache, with the fields its family suggests, and what cannot be
    had for it."""

    repo_id: str
    path: str
    proposed: Mapping[str, Any]
    notes: Tuple[str, ...] = ()
    place: str = ""


class Running(NamedTuple):
    """A server on a port: the model its command line names, and what the registry would record of
    its process.

    `repo_id`: the repository in whose folder of the cache that model lies, "" elsewhere."""

    port: int
    model: str
    record: Mapping[str, Any]
    repo_id: str = ""


class Change(NamedTuple):
    """One step of the plan; `entry` as it would be stored, None where the step only tells why
    nothing is done.

    `name` is "" where no entry is concerned."""

    action: str
    name: str
    port: Optional[int]
    reason: str
    entry: Optional[Entry]


def format_value(value: object) -> str:
    """A field's value in a sentence."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


class Slots(NamedTuple):
    """What the host file says: repo_id -> the port planned for it, and the slots' names in lower
    case."""

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
    """All changes, in order. Nothing is ever removed, and no entry gets a slot's name: that is a
    port's.

    `places`: entry -> where its path leads, whatever its spelling; of a model found that is its
    `place`. `taken`: entry -> port of the load under way that works on it; what becomes of it is
    left to that."""
    changes: List[Change] = []
    running = list(running)
    served = {server.model: server.port for server in running}
    for model in found:
        steps = [
            _left(_kept(step, registry, served), taken)
            for step in _for_model(registry, model, slots, places)
        ]
        changes += steps
        registry = apply(registry, steps)
    for server in running:
        change = _for_server(registry, server)
        if change is not None:
            changes.append(_left(change, taken))
            registry = apply(registry, changes[-1:])
    return tuple(changes)


def _kept(change: Change, registry: Registry, served: Mapping[str, int]) -> Change:
    """A path is not refreshed under a server that runs from it: that server is about to be
    adopted."""
    there = registry.entries.get(change.name)
    port = served.get(there.cache_path) if there is not None and there.cache_path else None
    if change.action != "refresh" or change.entry is None or port is None:
        return change
    return change._replace(
        entry=None, reason="a newer snapshot is there; this one is served on port %d" % port
    )


def _left(change: Change, taken: Mapping[str, int]) -> Change:
    if change.entry is None or change.name not in taken:
        return change
    return change._replace(
        entry=None, reason="left to the load that works on it, on port %d" % taken[change.name]
    )


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
    # The Hub does not tell names apart by case.
    known = [e for e in registry.entries.values() if e.repo_id.lower() == model.repo_id.lower()]
    if not known and not here:
        return [_added(registry, model, slots)]
    return [
        _refreshed(e, model)
        for e in known
        if not e.text("revision") and e.cache_path != model.path and e.name not in here
    ]


def _refreshed(entry: Entry, model: CachedModel) -> Change:
    if entry.port is not None:
        reason = (
            "a newer snapshot is there; it is being served, so its path stays until it is unloaded"
        )
        return Change(action="refresh", name=entry.name, port=entry.port, reason=reason, entry=None)
    return Change(
        action="refresh",
        name=entry.name,
        port=None,
        reason="now at " + model.path,
        entry=entry.with_fields(cache_path=model.path),
    )


def _added(registry: Registry, model: CachedModel, slots: Slots) -> Change:
    name = free_name(registry, model.repo_id, slots.names)
    fields: Dict[str, Any] = {
        **REQUIRED,
        "repo_id": model.repo_id,
        "model_id": model.repo_id,
        "cache_path": model.path,
    }
    port = {repo_id.lower(): port for repo_id, port in slots.planned.items()}.get(
        model.repo_id.lower()
    )
    if port is not None and port not in [e.slot for e in registry.entries.values()]:
        fields["slot"] = port
    entry = Entry(name, {**fields, **model.proposed})
    proposed = ", ".join(
        "%s %s" % (key, format_value(value)) for key, value in model.proposed.items()
    )
    reason = "; ".join([model.repo_id + (" with " + proposed if proposed else ""), *model.notes])
    return Change(action="add", name=name, port=None, reason=reason, entry=entry)


def _for_server(registry: Registry, server: Running) -> Optional[Change]:
    if registry.holders(server.port):
        return None
    match = [
        e
        for e in registry.entries.values()
        if server.model and server.model in (e.cache_path, e.repo_id)
    ]
    if not match:
        return Change(
            action="adopt", name="", port=server.port, reason=_unnamed(registry, server), entry=None
        )
    # One that is free comes before one that is served elsewhere.
    entry = min(match, key=lambda e: e.port is not None)
    if entry.port is not None:
        reason = "it runs here too, and is assigned to port %d" % entry.port
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
    """Why a server was not adopted, and the commands after which it is."""
    kin = [
        e
        for e in registry.entries.values()
        if server.repo_id and e.repo_id.lower() == server.repo_id.lower()
    ]
    if kin:
        text = "it serves %s, another snapshot of %s (entry %s): %s; or, for its own snapshot: %s"
        own = mlxops_command("set", kin[0].name, "cache_path=" + server.model) + " && mlxops init"
        swap = mlxops_command("load", kin[0].name, server.port, "--replace")
        return text % (server.model, kin[0].repo_id, kin[0].name, own, swap)
    add = mlxops_command("register", "NAME", server.repo_id or "ORG/NAME")
    if server.model:
        add += " && " + mlxops_command("set", "NAME", "cache_path=" + server.model)
    return "it serves %s, which no entry names: %s && mlxops init" % (server.model or "?", add)


def free_name(registry: Registry, repo_id: str, slot_names: FrozenSet[str]) -> str:
    """A name that no entry and no slot has, and no number, which is a port: the repository's, else
    a longer one."""
    short, full = repo_id.split("/")[-1].lower(), repo_id.lower().replace("/", "-")
    names = [name for name in (short, full) if not name.isdecimal()]
    names += ["%s-%d" % (full, n) for n in range(2, len(registry.entries) + len(slot_names) + 3)]
    taken = {name.lower() for name in registry.entries} | slot_names
    return next(name for name in names if name not in taken)
