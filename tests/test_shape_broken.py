"""Each rule of the tree, broken in one way or several: that rule fails, and no other one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import test_shape
from tests.support.rooms import LARGE_ROOMS, MAX_FILES_PER_ROOM, python39
from tests.support.sources import Tree, read_tree

RULES: Mapping[str, Callable[[Tree], None]] = {
    name.removeprefix("test_"): rule
    for name, rule in vars(test_shape).items()
    if name.startswith("test_")
}
# These run the agent from the disk.
ON_DISK = {"the_agent_imports_on_a_real_python_3_9", "the_agent_travels_light"}
LATE = "\n\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    "
LONG = "\n\ndef long() -> None:\n" + "    pass\n" * 26


class Break(NamedTuple):
    """`added` to the end of files, new ones included, and `removed` from them."""

    rule: str
    what: str
    added: Mapping[str, str] = {}
    removed: Mapping[str, str] = {}

    def apply(self, tree: Tree) -> Tree:
        changes = {name: tree.files.get(name, "") + text for name, text in self.added.items()}
        for name, text in self.removed.items():
            assert text in tree.files[name], f"{name} lacks {text!r}"
            changes[name] = tree.files[name].replace(text, "", 1)
        return tree.changed(changes)


def files(folder: str, count: int, text: str = "") -> dict[str, str]:
    return {f"mlxops/{folder}/extra{number}.py": text for number in range(count)}


def crowd(room: str) -> dict[str, str]:
    return files(room, LARGE_ROOMS.get(f"mlxops/{room}", MAX_FILES_PER_ROOM) + 1)


BREAKS = (
    Break(
        "the_client_imports_what_it_may",
        "render imports a transport",
        {"mlxops/render/table.py": "\nfrom mlxops.transport import local\n"},
    ),
    Break(
        "the_client_imports_what_it_may",
        "the command line imports an operation of the agent, in a function",
        {
            "mlxops/cli/verbs/logs.py": "\ndef late() -> None:\n"
            "    from mlxops.agent.ops import logs\n"
        },
    ),
    Break(
        "the_agent_imports_from_lower_floors_and_its_own_room",
        "procs imports the registry, two floors up",
        {"mlxops/agent/procs/signals.py": "\nfrom ..registry import resolve\n"},
    ),
    Break(
        "the_agent_imports_from_lower_floors_and_its_own_room",
        "the same below TYPE_CHECKING",
        {"mlxops/agent/procs/signals.py": LATE + "from ..registry import resolve\n"},
    ),
    Break(
        "the_agent_imports_from_lower_floors_and_its_own_room",
        "two rooms of one floor",
        {"mlxops/agent/hub/leftovers.py": "\nfrom ..ports import remedies\n"},
    ),
    Break(
        "other_hosts_are_seen_through_one_module",
        "a server asks for its ranks",
        {"mlxops/agent/servers/drain.py": "\n\nrecorded_ranks = ()\n"},
    ),
    Break(
        "other_hosts_are_seen_through_one_module",
        "a load talks to other hosts by itself",
        {"mlxops/agent/load/memory.py": LATE + "from ..ranks import peers\n"},
    ),
    Break(
        "the_agent_imports_nothing_outside_itself",
        "the agent imports the client's signals",
        {"mlxops/agent/procs/signals.py": "\nfrom mlxops import alarms\n"},
    ),
    Break(
        "every_room_has_a_place",
        "a room without a floor",
        {"mlxops/agent/attic/__init__.py": '"""An attic."""\n'},
    ),
    Break("every_room_has_a_place", "a loose file in agent/", {"mlxops/agent/attic.py": ""}),
    Break("every_room_has_a_place", "a loose file of the client", {"mlxops/attic.py": ""}),
    Break(
        "no_modules_import_each_other",
        "two modules of a room, below TYPE_CHECKING",
        {"mlxops/agent/procs/facts.py": LATE + "from .tree import tree\n"},
    ),
    Break(
        "no_modules_import_each_other",
        "three modules in a circle, in functions",
        {
            f"mlxops/hosts/{name}.py": f"\ndef late() -> None:\n    from . import {other}\n"
            for name, other in (("extra1", "extra2"), ("extra2", "extra3"), ("extra3", "extra1"))
        },
    ),
    Break("no_room_is_crowded", "13 files more", crowd("agent/runtimes")),
    Break("no_room_is_crowded", "a room with a limit of its own", crowd("render")),
    Break(
        "the_test_trees_mirror_the_rooms",
        "a folder that is no room",
        {"tests/agent/attic/test_attic.py": ""},
    ),
    Break(
        "the_test_trees_mirror_the_rooms",
        "a test outside the folder of its room",
        {"tests/unit/test_table.py": ""},
    ),
    Break(
        "operations_import_no_operations_but_their_rows",
        "show imports status",
        {"mlxops/agent/ops/show.py": "\nfrom .status import status\n"},
    ),
    Break(
        "no_value_is_built_with_many_positional_arguments",
        "five in a row",
        {"mlxops/agent/doctor/agent.py": "\nBAD = Finding(1, 2, 3, 4, 5)\n"},
    ),
    Break(
        "no_value_is_built_with_many_positional_arguments",
        "behind a star",
        {"mlxops/agent/doctor/agent.py": "\nBAD = Finding(1, 2, 3, *REST)\n"},
    ),
    Break(
        "no_value_is_built_with_many_positional_arguments",
        "as cls",
        {
            "mlxops/agent/doctor/agent.py": "\nclass Bad(NamedTuple):\n    def five(cls):\n"
            "        return cls(1, 2, 3, 4, 5)\n"
        },
    ),
    Break(
        "every_room_is_described",
        "a room that architecture.md does not list",
        removed={"docs/architecture.md": "| `verify/` "},
    ),
    Break(
        "every_room_is_described",
        "a room on another floor than architecture.md says",
        removed={"docs/architecture.md": "| 14 | `ops/`"},
    ),
    Break(
        "every_room_is_described",
        "a package without a sentence",
        {"mlxops/render/attic/__init__.py": "\n"},
    ),
    Break(
        "third_party_names_have_one_place_each",
        "click outside the command line",
        {"mlxops/render/table.py": "\nimport click\n"},
    ),
    Break(
        "third_party_names_have_one_place_each",
        "a package that has no place",
        {"mlxops/agent/clock.py": "\nimport psutil\n"},
    ),
    Break(
        "pure_modules_know_no_clock_no_files_and_no_processes",
        "a pure module asks for the time",
        {"mlxops/agent/procs/tree.py": "\nimport time\n"},
    ),
    Break(
        "only_procs_names_the_platform",
        "a path below /proc",
        {"mlxops/agent/logs/tail.py": '\nSTATUS = "/proc/self/status"\n'},
    ),
    Break(
        "only_procs_names_the_platform",
        "a signal sent elsewhere",
        {"mlxops/agent/logs/tail.py": "\nos.kill(1, 9)\n"},
    ),
    Break(
        "the_agent_is_python_3_9",
        "a match statement",
        {"mlxops/agent/clock.py": "\nmatch 1:\n    case 1:\n        pass\n"},
    ),
    Break(
        "the_agent_is_python_3_9",
        "annotations that are evaluated",
        removed={"mlxops/agent/clock.py": "from __future__ import annotations\n"},
    ),
    Break(
        "the_agent_imports_on_a_real_python_3_9",
        "a name that the typing of 3.9 lacks",
        {"mlxops/agent/clock.py": "\nfrom typing import TypeAlias\n"},
    ),
    Break(
        "the_agent_travels_light",
        "half a megabyte of noise",
        {"mlxops/agent/attic.py": f"NOISE = {random.Random(1).randbytes(200_000)!r}\n"},
    ),
    Break(
        "nothing_is_too_long",
        "a function",
        {"mlxops/render/table.py": "\n\ndef long() -> None:\n" + "    pass\n" * 60},
    ),
    Break("nothing_is_too_long", "a file", {"mlxops/demo/attic.py": "\n" * 351}),
    Break("nothing_is_too_long", "a file of tests", {"tests/unit/hub/test_attic.py": "\n" * 401}),
    Break(
        "most_functions_are_short",
        "a tenth of them has 27 lines",
        {
            name: text
            for room in (
                "demo",
                "agent/storage",
                "agent/runtimes",
                "agent/formats",
                "agent/restricted",
            )
            for name, text in files(room, 6, LONG * 12).items()
        },
    ),
    Break(
        "files_and_classes_are_called_after_their_noun",
        "a class",
        {"mlxops/render/table.py": "\nclass TableManager:\n    pass\n"},
    ),
    Break(
        "files_and_classes_are_called_after_their_noun",
        "a file",
        {"mlxops/demo/utils.py": ""},
    ),
    Break(
        "constants_are_called_max_and_interval",
        "a limit",
        {"mlxops/render/table.py": "\nLONGEST_CELL = 80\n"},
    ),
    Break(
        "constants_are_called_max_and_interval",
        "an interval",
        {"mlxops/render/table.py": "\nLOOK_EVERY_S = 1.0\n"},
    ),
    Break(
        "the_english_is_plain",
        "a docstring",
        {"mlxops/demo/attic.py": '"""A page for whoever reads it."""\n'},
    ),
    Break("the_english_is_plain", "a page", {"docs/memory.md": "\nthis is no page\n"}),
    Break("the_top_level_is_as_agreed", "a plan", {"TODO.md": ""}),
    Break(
        "the_tree_speaks_of_itself_only",
        "a path of the machine it was written on",
        {"docs/memory.md": "\nmeasured in /wo" + "rk/main\n"},
    ),
)


@pytest.fixture(scope="module")
def tree() -> Tree:
    return read_tree()


def on_disk(tree: Tree, folder: Path) -> Tree:
    """The tree with its package written to a folder."""
    for source in tree.package:
        place = folder / source.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(source.text)
    return replace(tree, root=folder)


def failing(tree: Tree, names: set[str]) -> Iterator[str]:
    for name in sorted(names):
        try:
            RULES[name](tree)
        except (AssertionError, SyntaxError):
            yield name


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: f"{broken.rule}-{broken.what}")
def test_a_broken_rule_fails_alone(broken: Break, tree: Tree, tmp_path: Path) -> None:
    if broken.rule not in ON_DISK:
        assert [*failing(broken.apply(tree), set(RULES) - ON_DISK)] == [broken.rule]
    elif broken.rule in ON_DISK and python39():
        assert [*failing(on_disk(broken.apply(tree), tmp_path), ON_DISK)] == [broken.rule]


def test_each_rule_is_broken() -> None:
    assert {broken.rule for broken in BREAKS} == set(RULES)
