"""What `init` would change: entries for models found, paths that moved, servers already running. Pure."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from .registry import REQUIRED, Entry, Registry


class Found(NamedTuple):
    """A whole MLX chat model in the cache, with the fields its family suggests, and what cannot be had for it."""

    repo_id: str
    path: str
    proposed: Mapping[str, Any]
    notes: Tuple[str, ...] = ()


class Running(NamedTuple):
    """A server on a port: the model its command line names, and what the registry would record of its process."""

    port: int
    model: str
    record: Mapping[str, Any]


class Change(NamedTuple):
    """One step of the plan; `entry` as it would be stored, None where the step only tells why nothing is done.

    `name` is "" where no entry is concerned.
    """

    action: str
    name: str
    port: Optional[int]
    reason: str
    entry: Optional[Entry]


def told(value: object) -> str:
    """A field's value in a sentence."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


class Slots(NamedTuple):
    """What the host file says: repo_id -> the port planned for it, and the slots' names in lower case."""

    planned: Mapping[str, int]
    names: FrozenSet[str]


def plan(
    registry: Registry, found: Iterable[Found], running: Iterable[Running], slots: Slots, taken: Mapping[str, int]
) -> Tuple[Change, ...]:
    """All changes, in order. Nothing is ever removed, and no entry gets a slot's name: that is a port's.

    `taken`: entry -> port of the load under way that works on it; what becomes of it is left to that.
    """
    changes: List[Change] = []
    for model in found:
        steps = [_left(step, taken) for step in _for_model(registry, model, slots)]
        changes += steps
        registry = apply(registry, steps)
    for server in running:
        change = _for_server(registry, server)
        if change is not None:
            changes.append(_left(change, taken))
            registry = apply(registry, changes[-1:])
    return tuple(changes)


def _left(change: Change, taken: Mapping[str, int]) -> Change:
    if change.entry is None or change.name not in taken:
        return change
    return change._replace(entry=None, reason="left to the load that works on it, on port %d" % taken[change.name])


def apply(registry: Registry, changes: Iterable[Change]) -> Registry:
    return registry.put(*(c.entry for c in changes if c.entry))


def _for_model(registry: Registry, model: Found, slots: Slots) -> List[Change]:
    known = [e for e in registry.entries.values() if e.repo_id == model.repo_id]
    if not known:
        return [_added(registry, model, slots)]
    return [_refreshed(e, model) for e in known if not e.text("revision") and e.cache_path != model.path]


def _refreshed(entry: Entry, model: Found) -> Change:
    if entry.port is not None:
        reason = "a newer snapshot is there; it is being served, so its path stays until it is unloaded"
        return Change("refresh", entry.name, entry.port, reason, None)
    return Change("refresh", entry.name, None, "now at " + model.path, entry.with_fields(cache_path=model.path))


def _added(registry: Registry, model: Found, slots: Slots) -> Change:
    name = free_name(registry, model.repo_id, slots.names)
    fields: Dict[str, Any] = {**REQUIRED, "repo_id": model.repo_id, "model_id": model.repo_id, "cache_path": model.path}
    port = slots.planned.get(model.repo_id)
    if port is not None and port not in [e.slot for e in registry.entries.values()]:
        fields["slot"] = port
    entry = Entry(name, {**fields, **model.proposed})
    proposed = ", ".join("%s %s" % (key, told(value)) for key, value in model.proposed.items())
    reason = "; ".join([model.repo_id + (" with " + proposed if proposed else ""), *model.notes])
    return Change("add", name, None, reason, entry)


def _for_server(registry: Registry, server: Running) -> Optional[Change]:
    if registry.holders(server.port):
        return None
    match = [e for e in registry.entries.values() if server.model and server.model in (e.cache_path, e.repo_id)]
    if not match:
        reason = "it serves %s, which no entry names: mlxops register it, then init again" % (server.model or "?")
        return Change("adopt", "", server.port, reason, None)
    # One that is free comes before one that is served elsewhere.
    entry = min(match, key=lambda e: e.port is not None)
    if entry.port is not None:
        reason = "it runs here too, and is assigned to port %d" % entry.port
        return Change("adopt", entry.name, server.port, reason, None)
    adopted = entry.with_fields(port=server.port, process=dict(server.record))
    return Change("adopt", entry.name, server.port, "pid %d serves it" % server.record["pid"], adopted)


def free_name(registry: Registry, repo_id: str, slot_names: FrozenSet[str]) -> str:
    """A name that no entry and no slot has, and no number, which is a port: the repository's, else a longer one."""
    short, full = repo_id.split("/")[-1].lower(), repo_id.lower().replace("/", "-")
    names = [name for name in (short, full) if not name.isdecimal()]
    names += ["%s-%d" % (full, n) for n in range(2, len(registry.entries) + len(slot_names) + 3)]
    taken = {name.lower() for name in registry.entries} | slot_names
    return next(name for name in names if name not in taken)
