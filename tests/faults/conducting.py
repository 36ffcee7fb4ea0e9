"""What plan and apply report, compared with the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .agentcall import Ended
from .scene import Scene, serves

Rows = Mapping[int, Mapping[str, Any]]
PLAN = {"ports": [], "to": "both", "prune": False, "evict": False, "jobs": 2}
APPLY = {**PLAN, "timeout_s": None, "grace_s": None, "ask_above_bytes": None}
STEPS = ("load", "swap", "restart", "download")


def unfinished(scene: Scene) -> list[str]:
    """What plan still wants to do."""
    rows = scene.must("plan", **PLAN)["rows"]
    left = [row for row in rows if row["verdict"] not in ("same", "leave")]
    return [f"plan: {row['port']}: {row['verdict']}: {row['reason']}" for row in left]


def conducted(scene: Scene, ended: Ended, rows: Rows) -> list[str]:
    """A step that is reported as done is done, one that is not has its reason, and a port that
    served is left with a server or with the reason why not."""
    found = []
    for row in (ended.result or ended.error).get("rows", ()):
        port, models = row["port"], _models(scene, row["port"])
        if row["ok"] and row["verdict"] in STEPS and models != [_target(scene, port)]:
            found.append(f"{port}: {row['verdict']} is reported as done, but {models} serves")
        if not row["ok"] and not row["error"]:
            found.append(f"{port} failed without a reason: {row}")
        if row["verdict"] == "same" and row["changed"]:
            found.append(f"{port} was right and is reported as changed")
    return found


def foreseen(scene: Scene, ended: Ended, rows: Rows) -> list[str]:
    """Nothing is planned for a port that cannot be judged, and what is planned is declared."""
    planned = {row["port"]: row for row in ended.result["rows"]} if ended.result else {}
    found = [
        f"nothing is planned for {port}"
        for port in scene.declared
        if ended.result and port not in planned
    ]
    for port, row in planned.items():
        verdicts = (
            ("swap", "load", "blocked") if port in scene.declared else ("same", "leave", "blocked")
        )
        if row["verdict"] not in verdicts:
            found.append(f"{port}: {row['verdict']}: {row['reason']}")
        if (row["verdict"] == "blocked") != bool(row["kind"]):
            found.append(f"{port}: {row['verdict']} with kind {row['kind']}")
    return found


def _models(scene: Scene, port: int) -> list[str]:
    return [scene.name_of(one) for one in scene.servers() if one.port == port and serves(port)]


def _target(scene: Scene, port: int) -> str:
    return scene.declared[port]
