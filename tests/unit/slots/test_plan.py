"""The steps of a plan: moves, cycles, memory, and the ports that are not asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlxops.agent.errors import Locked
from mlxops.agent.slots.plan import Check, Plan
from tests.support.slots import (
    JOB,
    entry,
    foreign,
    free,
    plan_for,
    registry_lost,
    row,
    serves,
    sizes,
    verdicts,
)

A0, B1, C2 = entry("a", 8100, 8100), entry("b", 8101, 8101), entry("c", 8102, 8102)
THREE = [A0, B1, C2]
SERVING = [serves("a", 8100), serves("b", 8101), serves("c", 8102)]


def after(made: Plan) -> dict[int, list[int]]:
    return {one.port: list(one.after) for one in made.rows if one.after}


def first(made: Plan) -> list[int]:
    return [one.port for one in made.rows if one.unload_first]


def test_what_serves_right_is_no_change():
    made = plan_for({8100: "a", 8101: "b"}, THREE, SERVING)
    assert verdicts(made) == {8100: "same", 8101: "same", 8102: "same"}
    assert (made.changes, made.order) == (0, ())


def test_declared_wins_over_wanted():
    made = plan_for({8100: "b"}, [A0, entry("b")], [serves("a", 8100)])
    assert row(made, 8100)[2:6] == ("org/b", "a", "b", "a")
    assert verdicts(made) == {8100: "swap"}


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("both", {8100: "swap", 8101: "same"}),
        ("declared", {8100: "swap"}),
        ("wanted", {8100: "same", 8101: "same"}),
    ],
)
def test_a_plan_goes_to_what_is_declared_or_wanted_or_both(to: str, expected: dict[int, str]):
    entries = [A0, B1, entry("new")]
    made = plan_for({8100: "new"}, entries, SERVING[:2], to=to)
    assert verdicts(made) == expected


def test_a_move_waits_for_the_port_that_frees_the_model():
    made = plan_for({8101: "a", 8100: "new"}, [A0, entry("new")], SERVING[:1])
    assert verdicts(made) == {8100: "swap", 8101: "load"}
    assert after(made) == {8101: [8100]}
    assert made.order == ((8100,), (8101,))


def test_a_chain_of_moves_runs_from_its_free_end():
    made = plan_for({8101: "a", 8102: "b", 8103: "c", 8100: "new"}, [*THREE, entry("new")], SERVING)
    assert made.order == ((8100,), (8101,), (8102,), (8103,))


def test_a_cycle_of_two_is_resolved_with_one_unload():
    made = plan_for({8100: "b", 8101: "a"}, [A0, B1], SERVING[:2])
    assert verdicts(made) == {8100: "swap", 8101: "swap"}
    assert first(made) == [8100]
    assert made.order == ((8100,), (8101,), (8100,))
    assert after(made) == {8100: [8101], 8101: [8100]}
    assert made.changes == 2


def test_of_a_cycle_the_smallest_is_unloaded():
    measured = sizes(900, {8100: 20, 8101: 10, 8102: 30}, {8100: 10, 8101: 30, 8102: 20})
    made = plan_for({8100: "b", 8101: "c", 8102: "a"}, THREE, SERVING, measured)
    assert first(made) == [8101]
    assert made.order == ((8101,), (8100,), (8102,), (8101,))


def test_of_two_cycles_each_needs_one_unload_and_they_run_side_by_side():
    entries = [*THREE, entry("d", 8103, 8103)]
    seen = [*SERVING, serves("d", 8103)]
    made = plan_for({8100: "b", 8101: "a", 8102: "d", 8103: "c"}, entries, seen)
    assert made.order == ((8100, 8102), (8101, 8103), (8100, 8102))


def test_with_one_job_the_cycles_are_resolved_one_after_the_other():
    entries = [*THREE, entry("d", 8103, 8103)]
    seen = [*SERVING, serves("d", 8103)]
    made = plan_for({8100: "b", 8101: "a", 8102: "d", 8103: "c"}, entries, seen, jobs=1)
    assert made.order == ((8100,), (8101,), (8100,), (8102,), (8103,), (8102,))


def test_a_cycle_of_assignments_whose_servers_are_gone_needs_an_unload_too():
    made = plan_for({8100: "b", 8101: "a"}, [A0, B1])
    assert verdicts(made) == {8100: "load", 8101: "load"}
    assert made.order == ((8100,), (8101,), (8100,))


BLOCKED_MOVES: dict[str, tuple[dict[int, str], list[Any], dict[str, Any], str]] = {
    "nothing is due where it is": ({8101: "a"}, SERVING[:1], {}, "apply 8100 8101 --prune"),
    "it is not asked for": (
        {8101: "a", 8100: "new"},
        SERVING[:1],
        {"ports": (8101,)},
        "mlxops apply 8100 8101",
    ),
    "it is not asked for, and nothing is due where it is": (
        {8101: "a"},
        SERVING[:1],
        {"ports": (8101,)},
        "mlxops apply 8100 8101 --prune",
    ),
    "its server is gone": ({8101: "a"}, [], {}, "mlxops reconcile"),
    "its port is blocked": (
        {8101: "a", 8100: "new"},
        [serves("a", 8100)._replace(job=JOB)],
        {},
        "mlxops jobs",
    ),
}


@pytest.mark.parametrize(
    ("declared", "seen", "options", "hint"), BLOCKED_MOVES.values(), ids=BLOCKED_MOVES.keys()
)
def test_a_model_that_no_step_frees_blocks_the_port(
    declared: dict[int, str], seen: list[Any], options: dict[str, Any], hint: str
):
    made = plan_for(declared, [A0, entry("new")], seen, **options)
    moved = row(made, 8101)
    assert (moved.verdict, moved.kind) == ("blocked", "ModelElsewhere")
    assert "a is on port 8100" in moved.reason
    assert hint in moved.hint


def test_a_model_assigned_to_a_port_of_another_range_is_elsewhere():
    made = plan_for({8101: "a"}, [entry("a", 9000, 9000)])
    assert verdicts(made) == {8101: "blocked ModelElsewhere"}
    assert any("9000" in text for text in made.warnings)


def test_a_model_served_elsewhere_without_an_assignment_is_elsewhere_too():
    seen = [serves("a", 8100, recorded=False)]
    assert verdicts(plan_for({8101: "a"}, [entry("a")], seen)) == {8101: "blocked ModelElsewhere"}
    assert verdicts(plan_for({8101: "a"}, registry_lost, seen)) == {8101: "blocked ModelElsewhere"}


def test_a_blocked_port_blocks_the_whole_chain_behind_it():
    seen = [SERVING[0], SERVING[1], serves("c", 8102)._replace(job=JOB)]
    made = plan_for({8100: "b", 8101: "c", 8102: "a"}, THREE, seen)
    assert verdicts(made) == {
        8100: "blocked ModelElsewhere",
        8101: "blocked ModelElsewhere",
        8102: "blocked Locked",
    }
    assert made.changes == 0


def test_prune_unloads_what_is_neither_declared_nor_wanted():
    made = plan_for({}, [entry("a", 8100)._replace(), B1], SERVING[:2], to="declared", prune=True)
    assert verdicts(made) == {8100: "unload", 8101: "unload"}


def test_prune_frees_a_model_that_is_declared_elsewhere():
    made = plan_for({8101: "a"}, [A0], SERVING[:1], prune=True)
    assert verdicts(made) == {8100: "unload", 8101: "load"}
    assert "a is declared for port 8101" in row(made, 8100).reason
    assert made.order == ((8100,), (8101,))


def test_prune_forgets_an_assignment_whose_server_is_gone():
    made = plan_for({8101: "a"}, [A0], prune=True)
    assert made.order == ((8100,), (8101,))


def test_prune_leaves_servers_that_are_not_of_this_registry():
    seen = [foreign(8100), serves("z", 8101, recorded=False), free(8102)._replace(job=JOB)]
    made = plan_for({}, (), [*seen, free(8103)._replace(unknown=("no lsof",))], prune=True)
    assert row(made, 8100).verdict == "leave"
    assert verdicts(made) == {
        8101: "blocked Unregistered",
        8102: "blocked Locked",
        8103: "blocked EvidenceUnknown",
    }


def test_a_port_that_is_not_asked_for_has_no_row():
    made = plan_for({8100: "new"}, [A0, B1, entry("new")], SERVING[:2], ports=(8101,), prune=True)
    assert [one.port for one in made.rows] == [8101]
    assert verdicts(made) == {8101: "same"}


def test_a_wanted_model_that_is_declared_for_another_port_is_not_loaded_where_it_was():
    made = plan_for({8103: "a"}, [entry("a", None, 8102)], ports=(8102,))
    assert row(made, 8102).verdict == "leave"
    assert row(made, 8102).reason == "a is declared for port 8103"
    assert verdicts(plan_for({8103: "a"}, [entry("a", None, 8102)], to="wanted")) == {8102: "load"}


def test_an_entry_that_a_job_has_reserved_is_blocked_by_loads_check():
    check = Check("a", error=Locked("a is in use by a job on port 8105", "mlxops jobs"))
    made = plan_for({8100: "a"}, [entry("a")], (), sizes(p8100=check))
    assert verdicts(made) == {8100: "blocked Locked"}


def test_an_unload_that_a_check_refuses_is_blocked():
    check = Check(error=Locked("x", "y"))
    made = plan_for({}, [entry("a", 8100, None)], SERVING[:1], sizes(p8100=check), prune=True)
    assert verdicts(made) == {8100: "blocked Locked"}


def test_the_wire_has_the_keys_of_the_contract():
    made = plan_for({8100: "b", 8101: "a"}, [A0, B1], SERVING[:2]).to_wire()
    assert list(made) == ["rows", "order", "memory", "changes", "warnings"]
    assert json.loads(json.dumps(made)) == made
    assert made["order"] == [[8100], [8101], [8100]]
    assert made["rows"][0] == {
        "port": 8100,
        "slot_name": "s8100",
        "declared": "org/b",
        "wanted": "a",
        "entry": "b",
        "live": "a",
        "state": "ready",
        "drift": None,
        "verdict": "swap",
        "kind": None,
        "reason": "declared; a serves there",
        "hint": "",
        "after": [8101],
        "unload_first": True,
        "need_bytes": None,
        "download_bytes": 0,
        "usual_start_s": None,
        "pid": 9100,
    }
