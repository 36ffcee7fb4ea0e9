"""Results of `history` with samples: weeks of ten ports, and hostile ones."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

NOW = 1_795_000_000
DAY = 86400
GIB = 1 << 30
MODELS = (
    "qwen3-coder-480b-a35b-instruct-mlx-4bit",
    "gpt-oss-120b",
    "deepseek-r1-distill-llama-70b",
    "qwen2.5-coder-32b",
    "glm-4.7-flash",
    "nightmedia-qwen3-30b-a3b-thinking-2507-claude-4.5-sonnet-high-reasoning-distill",
)
ROW: dict[str, Any] = {
    "at": "2026-11-18T00:00:00Z",
    "ended": None,
    "who": "ann",
    "from": "mini",
    "what": "load",
    "why": "load a 8100",
    "port": 8100,
    "slot_name": "jerry-xl",
    "entry": "a",
    "before": None,
    "after": "a",
    "outcome": "done",
    "reason": None,
    "duration_s": 12.0,
    "start_s": 10.0,
    "memory_bytes": 20 * GIB,
    "job": "j",
    "added": [],
    "removed": [],
    "changes": [],
}


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def row(at: float, **fields: Any) -> dict[str, Any]:
    return {**ROW, "at": iso(at), "ended": iso(at + 12), **fields}


def result(
    rows: list[dict[str, Any]], ports: dict[str, Any] | None = None, more: bool = False
) -> dict[str, Any]:
    machine = [[NOW - 3600 * n, 256 * GIB, (90 + n % 60) * GIB] for n in range(48, -1, -1)]
    return {
        "changes": sorted(rows, key=lambda one: str(one["at"]), reverse=True),
        "more": more,
        "slots": {str(8100 + n): f"jerry-{n}" for n in range(4)},
        "samples": {"ports": ports or {}, "machine": machine},
    }


def weeks(count: int, days: int = 14, ports: int = 10, seed: int = 7) -> dict[str, Any]:
    """A history of this many changes."""
    dice = random.Random(seed)
    there: dict[int, str | None] = dict.fromkeys(range(8100, 8100 + ports))
    start, rows = NOW - days * DAY, []
    for n in range(count):
        at, port = start + (n + dice.random()) * days * DAY / count, dice.choice(list(there))
        name, before = dice.choice(MODELS), there[port]
        moved = [{"entry": name, "field": "port", "before": None, "after": port}]
        kind = dice.choices(("load", "failed", "unload", "lost", "set"), (6, 1, 2, 1, 2))[0]
        fields: dict[str, Any] = {"port": port, "before": before, "entry": name, "changes": moved}
        if kind == "load":
            there[port] = name
            rows.append(row(at, **fields, after=name, start_s=dice.uniform(4, 180)))
        elif kind == "failed":
            reason = "it ended while loading: RuntimeError: [metal::malloc] out of memory"
            fields["reason"] = reason
            rows.append(row(at, **fields, after=before, outcome="failed", start_s=None))
        elif kind == "set":
            change = {"entry": name, "field": "tool_call_parser", "before": None, "after": "qwen3"}
            fields |= {"port": None, "what": "set", "changes": [change], "before": None}
            rows.append(row(at, **fields, after=None, duration_s=None, start_s=None))
        elif before:
            there[port] = None
            fields |= {"entry": before, "what": kind, "after": None, "start_s": None}
            rows.append(row(at, **fields, reason="crash" if kind == "lost" else None))
    return result(rows, {str(port): _points(dice, start, days) for port in there}, more=True)


def _points(dice: random.Random, start: float, days: int) -> list[list[Any]]:
    asked, used, points = 0, dice.randint(10, 60), []
    for n in range(250):
        if dice.random() < 0.03:
            points.append([int(start + n * days * DAY / 250), None, None, None])
            asked, used = 0, dice.randint(10, 60)
        asked += dice.randint(0, 40)
        at = int(start + (n + 0.5) * days * DAY / 250)
        points.append([at, "m", int((used + n % 50 / 10) * GIB), asked])
    return points
