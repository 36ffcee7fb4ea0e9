"""The rules of the tree: which room may import which, what the agent may use, how long things may
get."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops import bundle
from tests.support.rooms import circles, module_of, python39, room_of
from tests.support.sources import ROOT, Source, sources, tracked

# The client: package or module below mlxops -> what of mlxops it may import.
CLIENT = {
    "__init__": (),
    "__main__": ("cli", "interrupts"),
    "cli": (
        "cli",
        "render",
        "hosts",
        "session",
        "doctor",
        "hub",
        "demo",
        "interrupts",
        "alarms",
        "agent.errors",
        "agent.wire.values",
        "__version__",
    ),
    "demo": ("demo", "render", "hosts", "interrupts", "session", "agent.errors"),
    "render": ("render", "agent.errors", "agent.ports.remedies"),
    "doctor": ("transport", "hosts", "agent.errors"),
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
    "interrupts": ("alarms", "agent.errors"),
    "alarms": (),
    "start_errors": ("transport", "hosts", "agent.errors"),
    "transport": (
        "transport",
        "bundle",
        "hosts",
        "agent.errors",
        "agent.wire.codec",
        # A local agent, the ssh of a rank and a download are children on the same pipes.
        "agent.wire.child",
    ),
    "bundle": ("agent.wire.bootstrap",),
    "hosts": ("hosts", "agent.errors", "agent.runtimes.table", "agent.wire.values"),
    "hub": ("agent.errors",),
}
# The agent's rooms, top floor first: an import goes to a lower floor, or stays in its room.
FLOORS = (
    ("ops",),
    ("doctor",),
    ("load",),
    ("servers", "restricted"),
    ("main", "logs", "memory", "verify"),
    ("hub", "ports"),
    ("jobs", "models", "ranks"),
    ("context", "programs"),
    ("site",),
    ("runtimes",),
    ("registry",),
    ("procs", "wire"),
    ("errors", "clock", "background", "untrusted"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Files that are rooms of their own, directly under agent/.
ROOT_MODULES = {"__init__", "main", "context", "site", "errors", "clock", "background", "untrusted"}
MAX_FILES_PER_ROOM = 12
# One file per verb, per group of verbs, per answer: these grow with the verbs.
ROOMS_THAT_GROW = {"mlxops/agent/ops", "mlxops/cli", "mlxops/render"}
MAX_POSITIONAL_ARGUMENTS = 4
TEST_TREES = ("unit", "agent", "system")
# Subjects of no single room: they stay at the top of their test tree.
ROOMLESS_TESTS = {
    "tests/agent/test_host_limits.py",  # threads, files and processes run out in every room
    "tests/system/test_field_cases.py",  # whole stories, from load to reconcile
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
    "registry/entries",
    "registry/init_plan",
    "ports/plan",
    "ports/evidence",
    "ports/diagnosis",
    "runtimes/table",
    "runtimes/commandline",
    "memory/kvcache",
    "memory/estimate",
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
    "re",
    "struct",
    "sys",
    "mlxops",
}
# A tool as a word of a command line, a path below /proc, a call; advice to a person may name a
# tool.
PLATFORM = re.compile(
    r"^/proc\b|(^|/)(lsof|ps|launchctl|vm_stat|sysctl)$|^os\.(kill|killpg|uname)$|^sys\.platform$"
)
# Old names that say nothing; a file or a class is called after its noun.
EMPTY_WORDS = re.compile(r"manager|handler|helper|util|(?<!meta)data|info|misc", re.I)
TOP_LEVEL = {
    "mlxops",
    "hosts",
    "tests",
    "docs",
    ".ci",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    ".gitignore",
}
# Spelled in pieces, so that this file does not say them either.
UNSAID = "|".join(
    (
        "/wo" + "rk/",
        "/fa" + "rm/",
        r"\.lib" + "rary",
        "/tmp/" + "envs",
        "py" + r"pi\.org",
        "python" + "hosted",
    )
)
# Sent once per version and host, compressed.
LARGEST_DELIVERY = 230 << 10
LONGEST_FUNCTION, LONGEST_FILE, LONGEST_TEST_FILE = 55, 350, 500

PACKAGE = sources("mlxops")
AGENT = sources("mlxops/agent")
CLIENT_SOURCES = [source for source in PACKAGE if not source.name.startswith("mlxops/agent/")]
# The stub has to compile where Python is too old to run it, and imports the agent by the name it
# has on the host.
STUB = "mlxops/agent/wire/stub.py"


def below(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def inside(source: Source) -> set[str]:
    """What a file imports of mlxops, without that word."""
    return {name.removeprefix("mlxops.") for name in source.imports() if name.startswith("mlxops.")}


def agent_rooms(source: Source) -> set[str]:
    """The agent's rooms that a file imports from."""
    return {name.split(".")[1] for name in inside(source) if name.startswith("agent.")}


def test_the_client_imports_what_it_may() -> None:
    wrong = [
        f"{source.name} imports {name}"
        for source in CLIENT_SOURCES
        for name in inside(source)
        if not below(name, CLIENT[source.name.removesuffix(".py").split("/")[1]])
    ]
    assert wrong == []


def test_an_import_of_the_agent_goes_to_a_lower_floor_or_stays_in_its_room() -> None:
    wrong = [
        f"{source.name} imports from {room}"
        for source in AGENT
        if source.name != "mlxops/agent/__init__.py"
        for room in agent_rooms(source)
        if room != room_of(source) and FLOOR[room] <= FLOOR[room_of(source)]
    ]
    assert wrong == []


def test_the_agent_imports_nothing_outside_itself() -> None:
    outside = [
        (source.name, name)
        for source in AGENT
        for name in inside(source)
        if not name.startswith("agent.")
    ]
    assert outside == []


def test_every_room_has_a_floor_and_few_files_stand_outside_a_room() -> None:
    loose = {Path(source.name).stem for source in AGENT if source.name.count("/") == 2}
    assert loose == ROOT_MODULES
    assert {room_of(source) for source in AGENT} - {"__init__"} == set(FLOOR)


def test_no_module_imports_itself_over_others() -> None:
    known = {module_of(source.name) for source in PACKAGE}
    imports = {module_of(source.name): source.imports() for source in PACKAGE}
    edges = {
        module: {name if name in known else name.rpartition(".")[0] for name in names} & known
        for module, names in imports.items()
    }
    # A package imports its own modules to offer them, and they may name their package.
    edges = {
        module: {
            name for name in names if not below(name, (module,)) and not below(module, (name,))
        }
        for module, names in edges.items()
    }
    assert circles(edges) == []


def test_no_room_is_crowded() -> None:
    files = Counter(
        str(Path(source.name).parent) for source in PACKAGE if Path(source.name).stem != "__init__"
    )
    crowded = {room: count for room, count in files.items() if count > MAX_FILES_PER_ROOM}
    assert {room: count for room, count in crowded.items() if room not in ROOMS_THAT_GROW} == {}


def test_every_test_tree_mirrors_the_rooms() -> None:
    rooms = set(FLOOR) | {name for name in CLIENT if not name.startswith("__")}
    loose = {
        Path(source.name).stem
        for source in PACKAGE
        if str(Path(source.name).parent) in ("mlxops", "mlxops/agent")
    }
    strays = []
    for source in [source for tree in TEST_TREES for source in sources(f"tests/{tree}")]:
        room, _, file = source.name.split("/", 2)[2].rpartition("/")
        known = room in rooms if room else file.removesuffix(".py").removeprefix("test_") in loose
        if not (known or source.name in ROOMLESS_TESTS or not file.startswith("test_")):
            strays.append(source.name)
    assert strays == []


def test_operations_import_no_operations_but_their_rows() -> None:
    wrong = [
        f"{source.name} imports {name}"
        for source in AGENT
        if room_of(source) == "ops"
        for name in inside(source)
        if name.startswith("agent.ops.") and not name.startswith("agent.ops.rows")
    ]
    assert wrong == []


def is_value(node: ast.ClassDef) -> bool:
    """Whether a class is a NamedTuple or a dataclass."""
    return any(
        "NamedTuple" in ast.unparse(part) or "dataclass" in ast.unparse(part)
        for part in built_on(node)
    )


def built_on(node: ast.ClassDef) -> list[ast.expr]:
    return [*node.bases, *node.decorator_list]


def values() -> set[str]:
    """The names that only value types have."""
    classes = [
        node
        for source in PACKAGE
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
    ]
    return {node.name for node in classes if is_value(node)} - {
        node.name for node in classes if not is_value(node)
    }


def built_by_position() -> Iterator[str]:
    known = values()
    for source in PACKAGE:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and len(node.args) > MAX_POSITIONAL_ARGUMENTS:
                name = ast.unparse(node.func).rpartition(".")[2]
                if name in known:
                    yield f"{source.name}:{node.lineno} {name}"


def test_no_value_is_built_with_many_positional_arguments() -> None:
    assert list(built_by_position()) == []


def test_every_room_says_what_it_is_for_and_stands_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    packages = [source for source in PACKAGE if Path(source.name).stem == "__init__"]
    assert [source.name for source in packages if not ast.get_docstring(source.tree)] == []
    unnamed = [room for room in FLOOR if not re.search(rf"(?<![\w/]){room}(/|\b)", page)]
    assert unnamed == []


def test_third_party_names_have_one_place_each() -> None:
    wrong = []
    for source in PACKAGE:
        roots = (
            {name.split(".")[0] for name in source.imports()} - {"mlxops"} - sys.stdlib_module_names
        )
        if source.name == STUB:
            roots -= {"agent"}
        wrong += [
            (source.name, name)
            for name in roots
            if not source.name.startswith(PLACES.get(name, "nowhere"))
        ]
    assert wrong == []


def test_pure_modules_know_no_clock_no_files_and_no_processes() -> None:
    roots = {
        name: {imported.split(".")[0] for imported in Source(f"mlxops/agent/{name}.py").imports()}
        - PURE_MAY_IMPORT
        for name in PURE
    }
    assert {name: found for name, found in roots.items() if found} == {}


def test_only_procs_names_the_platform() -> None:
    outside = [source for source in AGENT if room_of(source) != "procs"]
    assert [
        (source.name, text)
        for source in outside
        for text in source.texts()
        if PLATFORM.search(text)
    ] == []


def test_the_agent_is_python_3_9() -> None:
    for source in AGENT:
        ast.parse(source.text, source.name, feature_version=(3, 9))
        annotated = any(
            isinstance(node, ast.AnnAssign | ast.arg) and node.annotation
            for node in ast.walk(source.tree)
        )
        if annotated and source.name != STUB:
            assert "__future__.annotations" in source.imports(), source.name


def test_the_agent_imports_on_a_real_python_3_9() -> None:
    interpreter = python39()
    if interpreter is None:
        pytest.skip("no Python 3.9 here; .ci/run says where it looks for one")
    apart = (STUB, "mlxops/agent/wire/unpack.py", "mlxops/agent/hub/child.py")
    names = [module_of(s.name).removeprefix("mlxops.") for s in AGENT if s.name not in apart]
    program = (
        "import importlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "for n in sys.argv[2:]: importlib.import_module(n)"
    )
    argv = [interpreter, "-I", "-S", "-B", "-c", program, str(ROOT / "mlxops"), *names]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_agent_travels_light() -> None:
    assert len(bundle.pack().frames()) <= LARGEST_DELIVERY


def test_nothing_is_too_long() -> None:
    for source in [*PACKAGE, *sources("tests")]:
        longest = LONGEST_TEST_FILE if source.name.startswith("tests/") else LONGEST_FILE
        assert source.lines <= longest, f"{source.name}: {source.lines} lines"
        assert [
            f"{lines} lines: {place}"
            for lines, place in source.functions()
            if lines > LONGEST_FUNCTION
        ] == []


def test_most_functions_are_short() -> None:
    lines = sorted(count for source in PACKAGE for count, _ in source.functions())
    assert statistics.median(lines) <= 8
    assert lines[int(len(lines) * 0.9)] <= 25


def test_files_and_classes_are_called_after_their_noun() -> None:
    names = {
        (source.name, name)
        for source in PACKAGE
        for name in (Path(source.name).stem, *source.classes())
    }
    assert {(place, name) for place, name in names if EMPTY_WORDS.search(name)} == set()


def test_the_top_level_is_as_agreed() -> None:
    assert {name.split("/")[0] for name in tracked(".")} <= TOP_LEVEL


def test_the_tree_speaks_of_itself_only() -> None:
    said = re.compile(UNSAID)
    lines = [
        (name, line)
        for name in tracked(".")
        for line in text_of(name).splitlines()
        if said.search(line)
    ]
    assert lines == []


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8", "replace")
