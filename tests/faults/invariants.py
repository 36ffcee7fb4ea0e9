"""What must hold, whatever happened. Each check returns a sentence per violation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .agentcall import KILLING, Blow, Ended
from .scene import Living, Scene, serves


def always(scene: Scene) -> list[str]:
    """At every moment at which no agent runs."""
    return [*_registry(scene), *scene.strangers.touched(), *(f"{name} is still held" for name in scene.held_locks())]


def _registry(scene: Scene) -> Iterator[str]:
    try:
        models = scene.models()
    except (OSError, ValueError, KeyError) as exc:
        yield f"the registry does not parse: {exc!r}"
        return
    ports = Counter(entry["port"] for entry in models.values() if entry["port"] is not None)
    yield from (f"port {port} has {count} models" for port, count in ports.items() if count > 1)


def spoken(ended: Ended, blow: Blow) -> Iterator[str]:
    """How the run may end: a killed one without a word, any other with a record, and never in a traceback."""
    if blow.fault in KILLING:
        return
    if ended.record is None and not ended.cut:
        yield f"ended without a last record, status {ended.status}"
    if "trace" in ended.error:
        yield "a defect of its own: " + ended.error["message"]
    if ended.stderr.strip():
        yield "wrote to stderr: " + ended.stderr.strip().splitlines()[-1]


def reported(scene: Scene, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every living server is recorded by an assignment, or status says that it is not."""
    drift = {row["port"]: row["drift"] for row in rows}
    unrecorded = [server for server in scene.servers() if not recorded(scene, server)]
    return [
        f"pid {server.pid} serves {scene.name_of(server)} on {server.port}, neither recorded nor reported"
        for server in unrecorded
        if drift.get(server.port) not in ("orphan", "mismatch")
    ]


def recorded(scene: Scene, server: Living) -> bool:
    models = scene.models().values()
    return any(e["port"] == server.port and (e.get("process") or {}).get("pid") == server.pid for e in models)


def true(scene: Scene, orphans: Sequence[int] = ()) -> list[str]:
    """Assigned is what really serves, and nothing else serves but on the ports reported as `orphans`."""
    served = {s.port: scene.name_of(s) for s in scene.servers() if serves(s.port) and s.port not in orphans}
    found = scene.assigned()
    unrecorded = [s.pid for s in scene.servers() if s.port in found and not recorded(scene, s)]
    wrong = [f"assigned is {found}, served is {served}"] if served != found else []
    return wrong + [f"the registry records another process than pid {pid}" for pid in unrecorded]
