"""The rooms of the package: what each may import, and how large it may become."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support.sources import Source

# The client: package or module below mlxops -> the parts of mlxops it may import.
CLIENT = {
    "__init__": (),
    "__main__": ("cli", "interrupts"),
    "cli": (
        "cli",
        "render",
        "hosts",
        "session",
        "client_state",
        "known_warnings",
        "doctor",
        "host_setup",
        "hub",
        "demo",
        "interrupts",
        "alarms",
        "unattended",
        "watch",
        "agent.errors",
        "agent.wire.values",
        "agent.wire.slots",
        "__version__",
    ),
    "watch": ("watch", "render", "hosts", "session", "interrupts", "agent.errors"),
    "demo": ("demo", "render", "hosts", "interrupts", "session", "agent.errors"),
    "unattended": (
        "client_state",
        "unattended",
        "render",
        "hosts",
        "interrupts",
        "alarms",
        "agent.errors",
    ),
    "render": ("render", "agent.errors", "agent.ports.remedies"),
    "doctor": ("transport", "hosts", "agent.errors"),
    "host_setup": ("transport", "hosts", "agent.errors"),
    "session": (
        "bundle",
        "transport",
        "start_errors",
        "hosts",
        "interrupts",
        "agent.errors",
        "agent.wire.codec",
        # Both sides ask an agent: the client, and the agent of a model on several hosts.
        "agent.wire.conversation",
    ),
    "client_state": ("hosts",),
    "known_warnings": ("client_state",),
    "interrupts": ("alarms", "agent.errors"),
    "alarms": (),
    "start_errors": ("transport", "hosts", "agent.errors"),
    "transport": (
        "transport",
        "bundle",
        "hosts",
        "agent.errors",
        "agent.wire.codec",
        # A local agent, the ssh of a rank and a download are child processes on the same kind of
        # pipes.
        "agent.wire.child",
    ),
    "bundle": ("agent.wire.bootstrap",),
    "hosts": (
        "hosts",
        "agent.errors",
        "agent.runtimes.table",
        "agent.runtimes.secrets",
        "agent.wire.values",
    ),
    "hub": ("hosts", "agent.errors"),
}
# The agent's rooms, top floor first: an import goes to a lower floor or stays in its room.
FLOORS = (
    ("ops",),
    ("doctor", "slots", "watch"),
    ("load",),
    ("servers", "restricted"),
    ("main", "catalog", "history", "logs", "memory", "storage", "verify"),
    ("hub", "ports"),
    ("ranks",),
    ("jobs", "models"),
    ("loader",),
    ("context", "programs", "api_key"),
    ("site",),
    ("runtimes",),
    ("registry", "formats"),
    ("procs", "wire", "line_file"),
    ("errors", "clock", "background", "untrusted"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# The files directly under agent/, each a room of its own.
ROOT_MODULES = {
    "__init__",
    "main",
    "context",
    "site",
    "errors",
    "clock",
    "background",
    "untrusted",
    "line_file",
    "api_key",
}
MAX_FILES_PER_ROOM = 12
# Rooms with a limit of their own, because they grow with the commands.
LARGE_ROOMS = {
    "mlxops/agent/ops": 26,  # a file for each verb
    "mlxops/cli/verbs": 24,  # a file for each group of commands
    "mlxops/render": 28,  # a file for each kind of answer
}
# Who may know that a model on several hosts runs as ranks; the others ask ranks/other_hosts.
KNOW_RANKS = {"mlxops/agent/ops/rank.py", "mlxops/agent/runtimes/table.py"}
OTHER_HOSTS = "agent.ranks.other_hosts"
TEST_TREES = ("unit", "agent", "system")
# Tests that belong to no single room stay at the top of their tree.
ROOMLESS_TESTS = {
    "tests/system/test_pages.py",  # sessions of the README, with any verb
    "tests/agent/test_host_limits.py",  # threads, files and processes run out in every room
    "tests/system/test_field_cases.py",  # whole stories, from load to reconcile
}
# Third-party package -> the only place that may import it.
PLACES = {
    "click": "mlxops/cli/",
    "tabulate": "mlxops/render/table.py",
    "yaml": "mlxops/render/json_document.py",
    "fabric": "mlxops/transport/ssh.py",
    "paramiko": "mlxops/transport/ssh.py",
    "huggingface_hub": ("mlxops/hub.py", "mlxops/agent/hub/child.py", "mlxops/agent/hub/guard.py"),
    "numpy": "mlxops/demo/tinymodel.py",
    "safetensors": "mlxops/demo/tinymodel.py",
    "tokenizers": "mlxops/demo/tinymodel.py",
    "asyncssh": "mlxops/demo/sshserver.py",
    "mlx": "mlxops/agent/loader/child",
    "mlx_lm": "mlxops/agent/loader/child",
}
# Values in, values out: no clock, no files, no processes.
PURE = (
    "formats/families",
    "formats/marks",
    "registry/entries",
    "registry/init_plan",
    "jobs/backoff",
    "ports/reconcile_plan",
    "ports/evidence",
    "ports/diagnosis",
    "runtimes/table",
    "runtimes/commandline",
    "memory/arguments",
    "memory/config",
    "memory/kvcache",
    "memory/estimate",
    "storage/judge",
    "slots/intent",
    "slots/judge",
    "slots/plan",
    "slots/moves",
    "slots/order",
    "slots/stages",
    "slots/evictions",
    "procs/tree",
    "procs/macos/text",
)
PURE_MAY_IMPORT = {
    "__future__",
    "typing",
    "dataclasses",
    "math",
    "json",
    "calendar",
    "itertools",
    "re",
    "struct",
    "sys",
    "mlxops",
}
# A tool as a word of a command line, a path below /proc, a call; a hint to the user may name a
# tool.
PLATFORM = re.compile(
    r"^/proc\b|(^|/)(lsof|ps|launchctl|vm_stat|sysctl)$|^os\.(kill|killpg|uname)$|^sys\.platform$"
)
# The stub must compile on a Python that is too old to run it, and imports the agent by the name it
# has on the host.
STUB = "mlxops/agent/wire/stub.py"


def is_below(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def room_of(source: Source) -> str:
    """The folder below agent/ that contains a file; for a file directly under agent/, its own
    name."""
    return source.name.removesuffix(".py").split("/")[2]


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Every group of modules that import each other, directly or not (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(edges.get(module, ())):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(edges):
        if module not in index:
            visit(module)
    return found


def python39() -> str | None:
    """A Python 3.9 that runs; pyenv also has shims for versions that it cannot start."""
    kept = sorted(map(str, Path.home().glob(".pyenv/versions/3.9*/bin/python3.9")))
    return next((found for found in [*kept, shutil.which("python3.9")] if found), None)
