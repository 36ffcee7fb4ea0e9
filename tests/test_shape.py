"""The rules of the tree: who may import whom, what the agent may use, how long things may get, what is not said."""

from __future__ import annotations

import ast
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from mlxops import bundle
from tests.support.sources import ROOT, Source, sources, tracked

# package or module below mlxops -> what of mlxops it may import
ARROWS = {
    "__main__": ("cli", "interrupts"),
    "cli": (
        "cli", "render", "hosts", "hostfolders", "session", "doctor", "hub", "demo", "authorizedkeys", "interrupts",
        "alarms",
        "agent.errors", "agent.wire.values", "__version__",
    ),
    "demo": ("demo", "render", "hosts", "interrupts", "session", "agent.errors"),
    "render": ("render", "agent.errors", "agent.ports.remedies"),
    "doctor": ("transport", "hosts", "agent.errors"),
    "session": ("bundle", "transport", "notstarted", "hosts", "interrupts", "agent.errors", "agent.wire.codec"),
    "interrupts": ("alarms", "agent.errors"),
    "alarms": (),
    "notstarted": ("transport", "hosts", "agent.errors"),
    "transport": ("transport", "bundle", "hosts", "agent.errors", "agent.wire.codec"),
    "bundle": ("agent.wire.bootstrap",),
    "hosts": ("hostfile", "hostfolders", "hostruntimes", "ownership", "agent.errors"),
    "hostfolders": ("agent.errors",),
    "ownership": ("agent.errors",),
    "hostruntimes": ("hostfile", "agent.runtimes.table"),
    "hostfile": ("hostfolders", "agent.errors", "agent.wire.values"),
    "authorizedkeys": ("agent.errors",),
    "hub": ("agent.errors",),
    "agent": ("agent",),
    "__init__": (),
}
# third-party name -> the only place that may say it
PLACES = {
    "click": "mlxops/cli/",
    "tabulate": "mlxops/render/table.py",
    "fabric": "mlxops/transport/ssh.py",
    "paramiko": "mlxops/transport/ssh.py",
    "huggingface_hub": ("mlxops/hub.py", "mlxops/agent/hub/child.py", "mlxops/agent/hub/guard.py"),
    "numpy": "mlxops/demo/tinymodel.py",
    "safetensors": "mlxops/demo/tinymodel.py",
    "tokenizers": "mlxops/demo/tinymodel.py",
    "asyncssh": "mlxops/demo/sshserver.py",
}
# Values in, values out: no clock, no files, no processes.
PURE = (
    "registry", "reconcile", "evidence", "judge", "intake", "runtimes", "commandline", "kvcache", "estimate",
    "procs/tree", "procs/mactext",
)  # fmt: skip
PURE_MAY_IMPORT = {"__future__", "typing", "dataclasses", "math", "json", "calendar", "re", "struct", "sys", "mlxops"}
# A tool as a word of a command line, a path below /proc, a call; advice to a person may name a tool.
PLATFORM = re.compile(r"^/proc\b|(^|/)(lsof|ps|launchctl|vm_stat|sysctl)$|^os\.(kill|killpg|uname)$|^sys\.platform$")
# Old names that say nothing; a file or a class is called after its noun.
EMPTY_WORDS = re.compile(r"manager|handler|helper|util|(?<!meta)data|info|misc", re.I)
TOP_LEVEL = {"mlxops", "hosts", "tests", "docs", ".ci", "pyproject.toml", "README.md", "LICENSE", ".gitignore"}
# Spelled in pieces, so that this file does not say them either.
UNSAID = "|".join(
    ("/wo" + "rk/", "/fa" + "rm/", r"\.lib" + "rary", "/tmp/" + "envs", "py" + r"pi\.org", "python" + "hosted")
)
# Sent once per version and host, compressed.
LARGEST_DELIVERY = 230 << 10
LONGEST_FUNCTION, LONGEST_FILE = 50, 300

PACKAGE = sources("mlxops")
AGENT = sources("mlxops/agent")


def ids(source: Source) -> str:
    return source.name


def below(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("source", PACKAGE, ids=ids)
def test_arrows_point_down_only(source: Source) -> None:
    room = source.name.removesuffix(".py").split("/")[1]
    inside = {name.removeprefix("mlxops.") for name in source.imports() if name.startswith("mlxops.")}
    assert {name for name in inside if not below(name, ARROWS[room])} == set()


@pytest.mark.parametrize("source", PACKAGE, ids=ids)
def test_third_party_names_have_one_place_each(source: Source) -> None:
    roots = {name.split(".")[0] for name in source.imports()} - {"mlxops"} - sys.stdlib_module_names
    if source.name == "mlxops/agent/wire/stub.py":
        roots -= {"agent"}  # itself, once unpacked on the host
    assert {name for name in roots if not source.name.startswith(PLACES.get(name, "nowhere"))} == set()


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_know_no_clock_no_files_and_no_processes(name: str) -> None:
    roots = {imported.split(".")[0] for imported in Source(f"mlxops/agent/{name}.py").imports()}
    assert roots - PURE_MAY_IMPORT == set()


@pytest.mark.parametrize("source", AGENT, ids=ids)
def test_only_procs_names_the_platform(source: Source) -> None:
    if not source.name.startswith("mlxops/agent/procs/"):
        assert [text for text in source.texts() if PLATFORM.search(text)] == []


@pytest.mark.parametrize("source", AGENT, ids=ids)
def test_operations_are_called_from_the_top_only(source: Source) -> None:
    if source.name.split("/")[2] not in ("ops", "main.py"):
        assert [name for name in source.imports() if below(name, ("mlxops.agent.ops",))] == []


@pytest.mark.parametrize("source", AGENT, ids=ids)
def test_the_agent_is_python_3_9(source: Source) -> None:
    ast.parse(source.text, source.name, feature_version=(3, 9))
    if source.name == "mlxops/agent/wire/stub.py":
        return  # has to compile where it is too old to run, to say so
    if any(isinstance(node, ast.AnnAssign | ast.arg) and node.annotation for node in ast.walk(source.tree)):
        assert "__future__.annotations" in source.imports()


def python39() -> str | None:
    """One that runs: pyenv's shims also exist for versions they do not start."""
    kept = sorted(map(str, Path.home().glob(".pyenv/versions/3.9*/bin/python3.9")))
    return next((found for found in [*kept, shutil.which("python3.9")] if found), None)


def test_the_agent_imports_on_a_real_python_3_9() -> None:
    interpreter = python39()
    if interpreter is None:
        pytest.skip("no Python 3.9 here; .ci/run says where it looks for one")
    names = [s.name.removesuffix(".py").removeprefix("mlxops/").replace("/", ".") for s in AGENT]
    wanted = [name for name in names if name not in ("agent.wire.stub", "agent.wire.unpack", "agent.hub.child")]
    program = (
        "import importlib, sys; sys.path.insert(0, sys.argv[1])\nfor n in sys.argv[2:]: importlib.import_module(n)"
    )
    argv = [interpreter, "-I", "-S", "-B", "-c", program, str(ROOT / "mlxops"), *wanted]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_agent_travels_light() -> None:
    assert len(bundle.pack().delivery()) <= LARGEST_DELIVERY


@pytest.mark.parametrize("source", [*PACKAGE, *sources("tests")], ids=ids)
def test_nothing_is_too_long(source: Source) -> None:
    assert source.lines <= LONGEST_FILE
    assert [f"{lines} lines: {place}" for lines, place in source.functions() if lines > LONGEST_FUNCTION] == []


def test_most_functions_are_short() -> None:
    lines = sorted(count for source in PACKAGE for count, _ in source.functions())
    assert statistics.median(lines) <= 8
    assert lines[int(len(lines) * 0.9)] <= 25


@pytest.mark.parametrize("source", PACKAGE, ids=ids)
def test_files_and_classes_are_called_after_their_noun(source: Source) -> None:
    names = {Path(source.name).stem, *source.classes()}
    assert {name for name in names if EMPTY_WORDS.search(name)} == set()


def test_the_top_level_is_as_agreed() -> None:
    assert {name.split("/")[0] for name in tracked(".")} <= TOP_LEVEL


def test_the_tree_speaks_of_itself_only() -> None:
    said = re.compile(UNSAID)
    lines = [(name, line) for name in tracked(".") for line in text_of(name).splitlines() if said.search(line)]
    assert lines == []


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8", "replace")
