"""The rules of the tree: what a room may import, what the agent may use, how long things may get,
how things are called. tests/test_shape_broken.py breaks each of them."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from mlxops import bundle
from tests.support.rooms import (
    CLIENT,
    FLOOR,
    FLOORS,
    KNOW_RANKS,
    LARGE_ROOMS,
    MAX_FILES_PER_ROOM,
    OTHER_HOSTS,
    PLACES,
    PLATFORM,
    PURE,
    PURE_MAY_IMPORT,
    ROOMLESS_TESTS,
    ROOT_MODULES,
    STUB,
    TEST_TREES,
    circles,
    is_below,
    python39,
    room_of,
)
from tests.support.sources import Source, Tree, read_tree

MAX_POSITIONAL_ARGUMENTS = 4
MAX_FUNCTION_LINES, MAX_FILE_LINES, MAX_TEST_FILE_LINES = 50, 350, 400
MAX_MEDIAN_LINES, MAX_P90_LINES = 8, 25
# Sent once per version and host, compressed.
MAX_DELIVERY_BYTES = 360 << 10
# Words that say nothing; a file or a class is called after its noun.
EMPTY_WORDS = re.compile(r"manager|handler|helper|util|(?<!meta)data|info|misc", re.I)
# A limit is MAX_…, a pause between two looks …_INTERVAL_S.
LIMIT_WORDS = re.compile(r"(^|_)(LONGEST|LARGEST|MOST|BIGGEST|GREATEST)(_|$)|_EVERY(_S)?$")
# Phrases that no native speaker writes; each has a short and plain one.
NOT_PLAIN = re.compile(
    "|".join(
        (
            r"\bto be had\b",  # available
            r"\bof ours\b",  # name the owner
            r"\bwhoever\b",  # a user who, the process that
            r"(?<!there )\bis no\b(?! (longer|more)\b)",  # is not a
            r"\bnobody has said\b",  # not set
            r"\bput to the proof\b",  # tested
            r"\breckon",  # estimate
            r"\ball the same\b",  # anyway
            r"\bbef[ae]ll",  # happens to
        )
    ),
    re.I,
)
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
UNSAID = re.compile(
    "|".join(
        (
            "/wo" + "rk/",
            "/fa" + "rm/",
            r"\.lib" + "rary",
            "/tmp/" + "envs",
            "py" + r"pi\.org",
            "python" + "hosted",
        )
    )
)


@pytest.fixture(scope="session")
def tree() -> Tree:
    return read_tree()


def inside(source: Source) -> set[str]:
    """What a file imports of mlxops, without that word."""
    return {name.removeprefix("mlxops.") for name in source.imports if name.startswith("mlxops.")}


def agent_rooms(source: Source) -> set[str]:
    """The agent's rooms that a file imports from."""
    return {name.split(".")[1] for name in inside(source) if name.startswith("agent.")}


def test_the_client_imports_what_it_may(tree: Tree) -> None:
    assert [
        f"{source.name} imports {name}"
        for source in tree.client
        for name in inside(source)
        if not is_below(name, CLIENT.get(client_room(source), ()))
    ] == []


def client_room(source: Source) -> str:
    return source.name.removesuffix(".py").split("/")[1]


def test_the_agent_imports_from_lower_floors_and_its_own_room(tree: Tree) -> None:
    assert [
        f"{source.name} imports from {room}"
        for source in tree.agent
        if source.name != "mlxops/agent/__init__.py"
        for room in agent_rooms(source)
        if room != room_of(source) and FLOOR[room] <= FLOOR[room_of(source)]
    ] == []


def test_the_agent_imports_nothing_outside_itself(tree: Tree) -> None:
    assert [
        (source.name, name)
        for source in tree.agent
        for name in inside(source)
        if not name.startswith("agent.")
    ] == []


def test_other_hosts_are_seen_through_one_module(tree: Tree) -> None:
    outside = [
        source
        for source in tree.agent
        # In memory/ a rank is that of a matrix.
        if room_of(source) not in ("ranks", "memory") and source.name not in KNOW_RANKS
    ]
    assert [
        f"{source.name} says {name}"
        for source in outside
        for name in source.identifiers
        if {"rank", "ranks", "ring"} & set(name.lower().split("_"))
    ] == []
    assert [
        f"{source.name} imports {name}"
        for source in outside
        for name in inside(source)
        if name.startswith("agent.ranks.") and not is_below(name, (OTHER_HOSTS,))
    ] == []


def test_every_room_has_a_place(tree: Tree) -> None:
    assert {client_room(source) for source in tree.client} == set(CLIENT)
    assert {source.stem for source in tree.agent if source.folder == "mlxops/agent"} == ROOT_MODULES
    assert {room_of(source) for source in tree.agent} - {"__init__"} == set(FLOOR)


def test_no_modules_import_each_other(tree: Tree) -> None:
    known = {source.module for source in tree.package}
    edges = {
        source.module: {
            name if name in known else name.rpartition(".")[0] for name in source.imports
        }
        & known
        for source in tree.package
    }
    # A package imports its own modules to offer them, and they may name their package.
    edges = {
        module: {
            name
            for name in names
            if not is_below(name, (module,)) and not is_below(module, (name,))
        }
        for module, names in edges.items()
    }
    assert circles(edges) == []


def test_no_room_is_crowded(tree: Tree) -> None:
    files = Counter(source.folder for source in tree.package if source.stem != "__init__")
    assert {
        room: count
        for room, count in files.items()
        if count > LARGE_ROOMS.get(room, MAX_FILES_PER_ROOM)
    } == {}


def test_the_test_trees_mirror_the_rooms(tree: Tree) -> None:
    rooms = set(FLOOR) | {name for name in CLIENT if not name.startswith("__")}
    loose = {s.stem for s in tree.package if s.folder in ("mlxops", "mlxops/agent")}
    strays = []
    for source in [source for name in TEST_TREES for source in tree.sources(f"tests/{name}")]:
        room = "/".join(source.folder.split("/")[2:])
        known = room in rooms if room else source.stem.removeprefix("test_") in loose
        if not (known or source.name in ROOMLESS_TESTS or not source.stem.startswith("test_")):
            strays.append(source.name)
    assert strays == []


ROWS = ("agent.ops.rows", "agent.ops.port_rows")


def test_operations_import_no_operations_but_their_rows(tree: Tree) -> None:
    assert [
        f"{source.name} imports {name}"
        for source in tree.agent
        if room_of(source) == "ops"
        for name in inside(source)
        if is_below(name, ("agent.ops",)) and not is_below(name, ROWS)
    ] == []


def is_value(node: ast.ClassDef) -> bool:
    """Whether a class is a NamedTuple or a dataclass."""
    return any(
        "NamedTuple" in ast.unparse(part) or "dataclass" in ast.unparse(part)
        for part in (*node.bases, *node.decorator_list)
    )


def value_names(tree: Tree) -> set[str]:
    """The names that only value types have."""
    classes = [node for source in tree.package for node in source.classes]
    values = {node.name for node in classes if is_value(node)}
    return values - {node.name for node in classes if not is_value(node)}


def constructor_calls(source: Source, values: set[str]) -> Iterator[ast.Call]:
    """The calls that build a value, by its name or, in its own methods, as `cls`."""
    for name, call in source.calls:
        if name in values or (name == "cls" and is_in_value(call, source)):
            yield call


def is_in_value(call: ast.Call, source: Source) -> bool:
    return any(call in ast.walk(node) for node in source.classes if is_value(node))


def positional(call: ast.Call) -> int:
    """How many arguments a call passes by position; `*names` are two at least."""
    return sum(2 if isinstance(argument, ast.Starred) else 1 for argument in call.args)


def test_no_value_is_built_with_many_positional_arguments(tree: Tree) -> None:
    values = value_names(tree)
    assert [
        f"{source.name}:{call.lineno} {ast.unparse(call.func)}"
        for source in tree.package
        for call in constructor_calls(source, values)
        if positional(call) > MAX_POSITIONAL_ARGUMENTS
    ] == []


def test_every_room_is_described(tree: Tree) -> None:
    packages = [source for source in tree.package if source.stem == "__init__"]
    assert [source.name for source in packages if not ast.get_docstring(source.tree)] == []
    page = tree.files["docs/architecture.md"]
    listed = {
        room: len(FLOORS) - 1 - int(floor)
        for floor, names in re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.M)
        for room in re.findall(r"`(\w+)/?`", names)
    }
    assert listed == FLOOR
    drawn = [name for name in CLIENT if name != "__init__" and not name.startswith("__")]
    assert [name for name in drawn if not re.search(rf"^  .*\b{name}\b", page, re.M)] == []


def test_third_party_names_have_one_place_each(tree: Tree) -> None:
    own = sys.stdlib_module_names | {"mlxops"}
    assert [
        (source.name, name)
        for source in tree.package
        for name in {name.split(".")[0] for name in source.imports} - own
        if not source.name.startswith(PLACES.get(name, "nowhere"))
        and (source.name, name) != (STUB, "agent")
    ] == []


def test_pure_modules_know_no_clock_no_files_and_no_processes(tree: Tree) -> None:
    pure = {f"mlxops/agent/{name}.py" for name in PURE}
    found = {source.name: source for source in tree.agent if source.name in pure}
    assert set(found) == pure
    assert [
        f"{source.name} imports {name}"
        for source in found.values()
        for name in source.imports
        if name.split(".")[0] not in PURE_MAY_IMPORT
    ] == []


def test_only_procs_names_the_platform(tree: Tree) -> None:
    outside = [source for source in tree.agent if room_of(source) != "procs"]
    assert [
        (source.name, text) for source in outside for text in source.texts if PLATFORM.search(text)
    ] == []


def test_the_agent_is_python_3_9(tree: Tree) -> None:
    for source in tree.agent:
        assert source.tree_3_9
        annotated = any(
            isinstance(node, ast.AnnAssign | ast.arg) and node.annotation for node in source.nodes
        )
        if annotated and source.name != STUB:
            assert "__future__.annotations" in source.imports, source.name


def test_the_agent_imports_on_a_real_python_3_9(tree: Tree) -> None:
    interpreter = python39()
    if interpreter is None:
        pytest.skip("no Python 3.9 here; .ci/run says where it looks for one")
    apart = (STUB, "mlxops/agent/wire/unpack.py", "mlxops/agent/hub/child.py")
    names = [s.module.removeprefix("mlxops.") for s in tree.agent if s.name not in apart]
    program = (
        "import importlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "for n in sys.argv[2:]: importlib.import_module(n)"
    )
    argv = [interpreter, "-I", "-S", "-B", "-c", program, str(tree.root / "mlxops"), *names]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_agent_travels_light(tree: Tree) -> None:
    delivery = bundle.pack(tree.root / "mlxops" / "agent").frames()
    assert len(delivery) <= MAX_DELIVERY_BYTES


def test_nothing_is_too_long(tree: Tree) -> None:
    for source in [*tree.package, *tree.sources("tests")]:
        longest = MAX_TEST_FILE_LINES if source.name.startswith("tests/") else MAX_FILE_LINES
        assert source.lines <= longest, f"{source.name}: {source.lines} lines"
        assert [
            f"{lines} lines: {place}"
            for lines, place in source.functions
            if lines > MAX_FUNCTION_LINES
        ] == []


def test_most_functions_are_short(tree: Tree) -> None:
    lines = sorted(count for source in tree.package for count, _ in source.functions)
    assert statistics.median(lines) <= MAX_MEDIAN_LINES
    assert lines[int(len(lines) * 0.9)] <= MAX_P90_LINES


def test_files_and_classes_are_called_after_their_noun(tree: Tree) -> None:
    assert [
        (source.name, name)
        for source in tree.package
        for name in (source.stem, *(node.name for node in source.classes))
        if EMPTY_WORDS.search(name)
    ] == []


def test_constants_are_called_max_and_interval(tree: Tree) -> None:
    assert [
        f"{source.name}:{node.lineno} {node.id}"
        for source in tree.package
        for node in source.assigned
        if node.id.isupper() and LIMIT_WORDS.search(node.id)
    ] == []


def test_the_english_is_plain(tree: Tree) -> None:
    prose = [name for name in tree.files if re.match(r"mlxops/|docs/|README\.md", name)]
    assert [
        f"{name}:{number} {found[0]}"
        for name in prose
        for number, line in enumerate(tree.files[name].splitlines(), 1)
        for found in NOT_PLAIN.finditer(line)
    ] == []


def test_the_top_level_is_as_agreed(tree: Tree) -> None:
    assert {name.split("/")[0] for name in tree.files} <= TOP_LEVEL


def test_the_tree_speaks_of_itself_only(tree: Tree) -> None:
    assert [
        (name, line)
        for name, text in tree.files.items()
        if UNSAID.search(text)
        for line in text.splitlines()
        if UNSAID.search(line)
    ] == []
