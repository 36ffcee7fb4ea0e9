"""docs/screens.md: what the program prints on terminals of two widths, for answers made up here.

`python -m tests.support.screens` writes the page again."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlxops.cli import main
from mlxops.cli.console import Console
from mlxops.cli.run import Run
from tests.support import planrows
from tests.support.cli_standin import HOST_FILE, Studio
from tests.support.sources import ROOT

PAGE = ROOT / "docs" / "screens.md"
WIDTHS = (80, 120)
GIB, GB = 1 << 30, 10**9
HEAD = """# Screens

What the program prints on terminals of 80 and 120 columns, for answers that are made up: one model
has a very long name, one server has crashed, one hangs. A table shortens its widest column first
(`…`), then it hides the least important columns and names them; port, model and state always stay.
`-o wide` and a pipe show everything in full. This page is written by
`python -m tests.support.screens`; a test compares it with what the program prints.
"""
DISTILL = "qwen3-30b-a3b-thinking-2507-claude-4.5-sonnet-high-reasoning-distill-qx{}-hi-mlx".format
CODER = "qwen3-coder-480b-a35b-instruct-4bit"
SLOTS = "jerry-xl jerry-l jerry-m jerry-s bench-1 bench-2 bench-3 utility-1 utility-2 utility-3"
NAMES = dict(zip(range(8100, 8110), SLOTS.split(), strict=True))


class Ago(float):
    """A time so many minutes before the screen is made."""


def dated(value: Any, now: float) -> Any:
    """`value` with each Ago as ISO UTC; five seconds more, for the time that a screen takes."""
    if isinstance(value, Ago):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 60 * value - 5))
    if isinstance(value, dict):
        return {key: dated(one, now) for key, one in value.items()}
    return [dated(one, now) for one in value] if isinstance(value, list) else value


def port(number: int, entry: str | None = None, gib: float = 0, **more: Any) -> dict[str, Any]:
    keys = ("drift", "served_model", "rss_bytes", "uptime_s", "latency_ms", "wanted", "reason")
    row = {**dict.fromkeys(keys), "port": number, "slot_name": NAMES[number], "entry": entry}
    if entry is None:
        return {**row, "state": "free", **more}
    live = {
        "state": "ready",
        "served_model": NAMES[number],
        "rss_bytes": int(gib * GIB),
        "uptime_s": 7440 + number,
        "latency_ms": number % 17 + 4,
    }
    return {**row, **live, **more}


GONE = "its server is gone: nothing listens on the port, and none of its processes are left"
HANGS = "the server listens but does not answer HTTP: timed out"
DEAD = {"state": "failed", "drift": "stale", "reason": GONE} | dict.fromkeys(
    ("served_model", "rss_bytes", "uptime_s", "latency_ms")
)
HUNG = {"state": "unresponsive", "reason": HANGS, "broken": True}
PORTS = [
    port(8100, CODER, 252.4),
    port(8101, DISTILL(86), 26.1),
    port(8102, DISTILL(64), 21.8),
    port(8103, "gpt-oss-120b", 0, **DEAD),
    port(8104, "glm-4.6-4bit", 186.2, **HUNG, served_model=None, latency_ms=None),
    *(port(number) for number in range(8105, 8110)),
]
TROUBLE = [
    {"drift": "stale", "port": 8103, "entry": "gpt-oss-120b", "reason": GONE},
    {"state": "unresponsive", "port": 8104, "entry": "glm-4.6-4bit", "reason": HANGS},
]
MEMORY = {"available_bytes": 21 * GIB, "total_bytes": 512 * GIB, "wired_limit_bytes": None}
STATUS = {"ports": PORTS, "memory": MEMORY, "drift": TROUBLE[:1], "broken": TROUBLE[1:]}


def entry(name: str, repo: str, gb: float, on: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "repo_id": repo,
        "size_bytes": int(gb * GB),
        "format": "mlx",
        "port": on,
        "wanted": on,
        "slot": on,
        "slot_name": NAMES[on] if on else None,
        "files": "ok",
        "problem": None,
        "cache_path": f"/models/hub/{name}",
        **more,
    }


INCOMPLETE = {"files": "incomplete", "problem": "model-00003-of-00014.safetensors is missing"}
LIST = {
    "models": [
        entry("glm-4.6-4bit", "mlx-community/GLM-4.6-4bit", 198.6, 8104),
        entry("gpt-oss-120b", "lmstudio-community/gpt-oss-120b-MLX-8bit", 63.4, 8103),
        entry("kimi-k2", "mlx-community/Kimi-K2-Instruct-4bit", 412.0, **INCOMPLETE),
        entry(DISTILL(64), f"nightmedia/{DISTILL(64)}", 21.2, 8102),
        entry(DISTILL(86), f"nightmedia/{DISTILL(86)}", 26.0, 8101),
        entry(CODER, "mlx-community/Qwen3-Coder-480B-A35B-Instruct-4bit", 270.1, 8100),
    ]
}


def job(minutes: float, state: str, why: str, took: int = 0, **more: Any) -> dict[str, Any]:
    number = int(why.split()[-1])
    return {
        "job": f"20261128T081500-{number}-{4000 + int(minutes)}",
        "short": f"{number}-{4000 + int(minutes)}",
        "state": state,
        "port": number,
        "why": why,
        "who": "ops",
        "from": "desk",
        "since": Ago(minutes),
        "ended": Ago(minutes - took / 60) if took else None,
        "phase": None,
        "message": None,
        **more,
    }


DOWNLOAD = {"phase": "download", "progress": {"done": 41 * GB, "total": 100 * GB}}
REFUSED = "RuntimeError: [load_safetensors] Invalid json header length; the port is empty"
JOBS = {
    "jobs": [
        job(2, "running", "load kimi-k2 8105", **DOWNLOAD),
        job(9, "cancelled", "load gpt-oss-120b 8106", 31, message="cancelled; the port is empty"),
        job(14, "failed", "load glm-4.5-air 8107", 12, message=REFUSED),
        job(124, "done", f"load {DISTILL(86)} 8101", 35),
        job(150, "died", f"load {CODER} 8100", phase="wait", **{"from": "laptop"}),
        job(1600, "done", "unload 8103", 2),
    ]
}


def change(minutes: float, what: str, on: int | None, name: str, **more: Any) -> dict[str, Any]:
    row = {
        "at": Ago(minutes),
        "who": "ops",
        "from": "desk",
        "what": what,
        "why": what,
        "port": on,
        "entry": name,
        "duration_s": None,
        "outcome": "done",
        "reason": None,
        "before": None,
        "after": name,
        "added": [],
        "removed": [],
        "changes": [],
    }
    return {**row, **more}


PARSER = {"field": "tool_call_parser", "before": None, "after": "qwen3", "entry": CODER}
HISTORY = {
    "changes": [
        change(2, "unload", 8105, "qwen3-4b", after=None, before="qwen3-4b", duration_s=1.2),
        change(14, "load", 8107, "glm-4.5-air", outcome="failed", reason=REFUSED, duration_s=12.0),
        change(124, "load", 8101, DISTILL(86), before=DISTILL(64), duration_s=35.0),
        change(1500, "set", None, CODER, changes=[PARSER]),
        change(3000, "lost", 8103, "gpt-oss-120b", before="gpt-oss-120b", reason="reboot"),
    ],
    "more": 0,
}
SHOW = {
    "entry": {
        **LIST["models"][4],
        "model_id": LIST["models"][4]["repo_id"],
        "process": {"pid": 4711, "launched_at": Ago(124), "launched_by": "ops@desk"},
        "start_s": {"mlx-openai-server": [35.2, 33.9]},
    },
    "port": {**PORTS[1], "pid": 4711, "runtime": "mlx-openai-server"},
    "last_load": JOBS["jobs"][3],
    "last_failure": None,
    "sources": {
        "runtime": {"value": "mlx-openai-server", "from": "the host file"},
        "tool_call_parser": {"value": "qwen3", "from": "the default for its family"},
        "chat_template": {"value": None, "from": "not set: the snapshot has one"},
    },
    "command": [
        "/opt/mlx/bin/mlx-openai-server",
        *("launch", "--model-path", f"/models/hub/{DISTILL(86)}", "--model-type", "lm"),
        *("--port", "8101", "--host", "127.0.0.1", "--served-model-name", "jerry-l"),
        *("--tool-call-parser", "qwen3"),
    ],
}
SCREENS: dict[str, dict[str, Any]] = {
    "status": STATUS,
    "list": LIST,
    "jobs": JOBS,
    "history": HISTORY,
    "apply --dry-run": planrows.DAY,
    f"show {DISTILL(86)}": SHOW,
}


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(line: str, result: dict[str, Any], columns: int) -> str:
    """What a terminal without colour shows of a command."""
    os.environ["COLUMNS"] = str(columns)
    out = _Screen()
    main(line.split(), Run(Console(out, out), Studio(dated(result, time.time()))))
    return out.getvalue().rstrip("\n")


def screens() -> Iterator[tuple[str, int, str]]:
    """The command, the width, and what is shown."""
    with _surroundings():
        for line, result in SCREENS.items():
            for columns in WIDTHS:
                yield line, columns, screen(line, result, columns)


@contextmanager
def _surroundings() -> Iterator[None]:
    """A host file, and no colour."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "studio.toml").write_text(HOST_FILE)
        os.environ.update(MLXOPS_HOSTS_DIR=folder, NO_COLOR="1", HOME=folder)
        os.environ.pop("MLXOPS_HOST", None)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def page() -> str:
    parts = [HEAD]
    verb = ""
    for line, columns, text in screens():
        if line.split()[0] != verb:
            verb = line.split()[0]
            parts.append(f"\n## {verb.capitalize()}\n")
        parts.append(f"\n{columns} columns:\n\n```\n$ mlxops {line}\n{text}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
