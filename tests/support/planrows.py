"""Results of `plan` and `apply`, made up for the tests of render and cli."""

from __future__ import annotations

from typing import Any

GIB = 1 << 30
EMPTY: dict[str, Any] = {
    "slot_name": None,
    "declared": None,
    "wanted": None,
    "entry": None,
    "live": None,
    "state": "free",
    "drift": None,
    "verdict": "leave",
    "kind": None,
    "reason": "",
    "hint": "",
    "after": [],
    "unload_first": False,
    "need_bytes": None,
    "download_bytes": None,
    "usual_start_s": None,
    "pid": None,
}


def row(port: int, verdict: str, **fields: Any) -> dict[str, Any]:
    return {**EMPTY, "port": port, "verdict": verdict, **fields}


def serving(port: int, verdict: str, live: str, **fields: Any) -> dict[str, Any]:
    return row(port, verdict, **{"live": live, "state": "ready", **fields})


def plan(*rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    steps = [one for one in rows if one["verdict"] not in ("same", "leave", "blocked")]
    memory = {
        "now_bytes": 120 * GIB,
        "peak_bytes": 205 * GIB,
        "most_bytes": 236 * GIB,
        "fits": True,
    }
    return {
        "rows": list(rows),
        "order": [[one["port"]] for one in steps],
        "memory": memory,
        "changes": len(steps),
        "warnings": [],
        **fields,
    }


LONG = "qwen3-30b-a3b-thinking-2507-claude-4.5-sonnet-high-reasoning-distill-qx86-hi-mlx"
DAY = plan(
    serving(
        8100,
        "swap",
        "r1",
        slot_name="jerry-xl",
        declared="org/qwen235",
        entry="qwen235",
        reason="declared; r1 serves there",
        after=[8101],
        need_bytes=191 * GIB,
    ),
    serving(
        8101,
        "swap",
        "qwen235",
        slot_name="jerry-l",
        declared="org/r1",
        entry="r1",
        reason="declared; qwen235 serves there",
        unload_first=True,
    ),
    row(
        8102,
        "download",
        slot_name="jerry-m",
        declared=f"nightmedia/{LONG}",
        reason="declared; 15.0 GB to download",
        download_bytes=15 * 10**9,
    ),
    serving(8103, "same", "coder", slot_name="jerry-s", declared="org/coder", entry="coder"),
    row(
        8104,
        "blocked",
        slot_name="bench-1",
        state="unknown",
        drift="foreign",
        wanted="phi",
        entry="phi",
        kind="ForeignListener",
        reason="nginx (pid 4711) listens on 8104, and it is not a model server of thestudio",
        hint="stop it on the host, then: mlxops apply 8104",
    ),
    serving(
        8105,
        "restart",
        "glm",
        slot_name="bench-2",
        wanted="glm",
        entry="glm",
        state="unresponsive",
        reason="its server does not answer",
    ),
    row(8106, "load", slot_name="bench-3", wanted="gemma", entry="gemma", reason="wanted"),
    serving(8107, "leave", LONG),
    row(8108, "leave", slot_name="utility-2"),
    row(8109, "leave", slot_name="utility-3"),
)
