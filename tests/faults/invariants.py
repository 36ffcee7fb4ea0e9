"""Conditions that must hold after every fault. Each check returns one sentence per violation."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .agentcall import KILLING, Blow, Ended
from .kinds import EXCEPTIONS
from .scene import Living, Scene, serves
from .strikes import PLANTED

# The agent's message for a MemoryError, which is not a defect.
NO_MEMORY = "the host has no memory left"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def always(scene: Scene) -> list[str]:
    """Holds at every moment without a running agent."""
    return [
        *_registry(scene),
        *scene.strangers.touched(),
        *(f"{name} is still held" for name in scene.held_locks()),
    ]


def _registry(scene: Scene) -> Iterator[str]:
    try:
        models = scene.models()
    except (OSError, ValueError, KeyError) as exc:
        yield f"the registry does not parse: {exc!r}"
        return
    ports = Counter(entry["port"] for entry in models.values() if entry["port"] is not None)
    yield from (f"port {port} has {count} models" for port, count in ports.items() if count > 1)
    for name, entry in models.items():
        yield from (f"{name} records {moment}" for moment in _nonsense(entry.get("process") or {}))


def _nonsense(process: Mapping[str, Any]) -> Iterator[str]:
    """Values that a record of a process cannot have."""
    moments = {key: process[key] for key in ("launched_at", "ready_at") if key in process}
    yield from (f"{key} {value!r}" for key, value in moments.items() if not MOMENT.fullmatch(value))
    if process and not process["pid"] > 1:
        yield f"pid {process['pid']}"


def spoken(ended: Ended, blow: Blow, ends: Sequence[str] = ()) -> Iterator[str]:
    """How the run may end: killed without a last record, otherwise with one, and never with a
    traceback.

    `ends`: kinds of errors with which it ends in any case."""
    if blow.fault in KILLING:
        return
    if ended.record is None and not ended.cut:
        yield f"ended without a last record, status {ended.status}"
    if blow.fault in EXCEPTIONS:
        told = json.dumps([ended.error, *ended.events])
        hidden = PLANTED not in told and not (blow.fault == "MemoryError" and NO_MEMORY in told)
        if ended.error and hidden and ended.error["kind"] not in ends:
            yield f"does not tell the defect: {ended.error}"
    elif "trace" in ended.error:
        yield "a defect of its own: " + ended.error["message"]
    if ended.stderr.strip():
        yield "wrote to stderr: " + ended.stderr.strip().splitlines()[-1]


def in_time(ended: Ended, status: Mapping[str, Any]) -> Iterator[str]:
    """No duration is negative, neither in the run nor for later observers."""
    for told in ({"record": ended.record}, {"events": list(ended.events)}, status):
        yield from (f"{name} is {value}" for name, value in _figures(told) if value < 0)


def _figures(told: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every duration in a record, by its name."""
    rows = [(name, part) for part in told] if isinstance(told, list) else []
    for key, part in told.items() if isinstance(told, dict) else rows:
        if key.endswith(("_s", "_ms")) and isinstance(part, (int, float)):
            yield key, part
        yield from _figures(part, key)


def reported(scene: Scene, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every living server is recorded by an assignment, or status reports that it is not."""
    drift = {row["port"]: row["drift"] for row in rows}
    unrecorded = [server for server in scene.servers() if not recorded(scene, server)]
    lost = set(scene.ranks()) - scene.ranks_on_record().keys()
    return [
        f"the rank {pid} on the other host is left behind and not on record" for pid in lost
    ] + [
        f"pid {server.pid} serves {scene.name_of(server)} on {server.port}, "
        f"neither recorded nor reported"
        for server in unrecorded
        if drift.get(server.port) not in ("orphan", "mismatch", "unrecorded")
    ]


def remembered(scene: Scene, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A model that served a port which nothing serves now is shown as lost, until a person unloads
    it."""
    drift = {row["port"]: row["drift"] for row in rows}
    taken = {*scene.assigned(), *(server.port for server in scene.servers())}
    idle = {name: entry for name, entry in scene.models().items() if not entry["port"]}
    lost = {entry["wanted"]: name for name, entry in idle.items() if entry.get("wanted")}
    return [
        f"{name} served on {port}, which status does not say"
        for port, name in lost.items()
        if port in drift and port not in taken and drift[port] not in ("lost", "foreign")
    ]


def forgotten(scene: Scene, ports: Iterable[int]) -> list[str]:
    """Nothing serves these ports, and no entry records what did."""
    models = scene.models().values()
    known = {port for entry in models for port in (entry["port"], entry.get("wanted"))}
    return [f"nobody says any more what served on {port}" for port in ports if port not in known]


def recorded(scene: Scene, server: Living) -> bool:
    models = scene.models().values()
    return any(
        e["port"] == server.port and (e.get("process") or {}).get("pid") == server.pid
        for e in models
    )


def true(scene: Scene, orphans: Sequence[int] = ()) -> list[str]:
    """Assigned is what really serves, and nothing else serves except on ports reported as
    `orphans`."""
    served = {
        s.port: scene.name_of(s)
        for s in scene.servers()
        if serves(s.port) and s.port not in orphans
    }
    # A rank on the other host keeps an assignment: only unload may end it.
    halves = {port for pid, port in scene.ranks_on_record().items() if pid in scene.ranks()}
    found = {
        port: name
        for port, name in scene.assigned().items()
        if port in served or port not in halves
    }
    unrecorded = [s.pid for s in scene.servers() if s.port in found and not recorded(scene, s)]
    wrong = [f"assigned is {found}, served is {served}"] if served != found else []
    return wrong + [f"the registry records another process than pid {pid}" for pid in unrecorded]
