"""The requests that a plan becomes, and the memory they are counted with."""

from __future__ import annotations

from typing import Any

from mlxops.agent.registry.entries import EMPTY
from mlxops.agent.slots.plan import Plan, PlannedMemory, Row
from mlxops.agent.slots.steps import MemoryLedger, Step, Times, steps_of
from tests.support.slots import entry

NO_MEMORY = PlannedMemory(0, 0, None, True, {})
REGISTRY = EMPTY.put(entry("a", 8100), entry("b", 8101))


def row(port: int, verdict: str, name: str, **more: Any) -> Row:
    return Row(
        port=port,
        slot_name=None,
        declared=f"org/{name}",
        wanted=None,
        entry=name,
        live=None,
        state="ready",
        drift=None,
        verdict=verdict,
        kind=None,
        reason="",
        hint="",
        **more,
    )


def steps(*rows: Row, order: tuple[tuple[int, ...], ...]) -> list[Step]:
    plan = Plan(rows=rows, order=order, memory=NO_MEMORY, warnings=())
    return steps_of(plan, REGISTRY, Times(timeout_s=9.0, grace_s=5.0))


def test_a_swap_whose_port_is_emptied_first_is_an_unload_and_later_a_load() -> None:
    first = row(8100, "swap", "b", unload_first=True, after=(8101,), need_bytes=7, pid=41)
    second = row(8101, "swap", "a", after=(8100,), need_bytes=8, pid=42)
    order = ((8100,), (8101,), (8100,))
    done = steps(first, second, order=order)
    assert [(step.verb, step.port, step.after) for step in done] == [
        ("unload", 8100, ()),
        ("load", 8101, (8100,)),
        ("load", 8100, (8101,)),
    ]
    assert done[0].args == {"port": 8100, "pids": [41], "keep_wanted": True, "grace_s": 5.0}
    assert [step.need_bytes for step in done] == [0, 8, 7]
    assert [step.args["pids"] for step in done] == [[41], [42], []]


def test_a_pruned_port_is_unloaded_for_good_and_only_the_planned_server() -> None:
    (step,) = steps(row(8100, "unload", "a"), order=((8100,),))
    assert step.args == {"port": 8100, "pids": [], "keep_wanted": False, "grace_s": 5.0}


def test_only_what_the_plan_downloads_may_be_downloaded() -> None:
    here = row(8100, "swap", "b")
    far = row(8101, "download", "new", download_bytes=10)
    done = steps(here, far, order=((8100, 8101),))
    assert [step.args["model"] for step in done] == ["b", "org/new"]
    assert [step.args.get("download") for step in done] == [None, True]
    assert [step.args.get("ask_above_bytes") for step in done] == [0, None]
    for step in done:
        assert step.args["by_plan"] and step.args["replace"]
        assert (step.args["timeout_s"], step.args["grace_s"]) == (9.0, 5.0)


def load(port: int, need: int) -> Step:
    return Step(port=port, verb="load", args={}, after=(), need_bytes=need)


def test_a_swap_counts_as_the_larger_of_its_servers_until_it_has_ended() -> None:
    ledger = MemoryLedger(100, {1: 60, 2: 10})
    assert ledger.fits(load(3, 30)) and not ledger.fits(load(3, 31))
    ledger.begin(load(1, 20))
    assert not ledger.fits(load(3, 31))
    ledger.end(load(1, 20), done=True)
    assert ledger.fits(load(3, 70)) and not ledger.fits(load(3, 71))


def test_a_failed_step_leaves_what_was_used_before() -> None:
    ledger = MemoryLedger(100, {1: 60})
    ledger.begin(load(1, 90))
    ledger.end(load(1, 90), done=False)
    assert ledger.fits(load(2, 40)) and not ledger.fits(load(2, 41))


def test_what_does_not_grow_fits_even_if_there_is_too_little_already() -> None:
    ledger = MemoryLedger(50, {1: 60, 2: 10})
    assert ledger.fits(load(1, 60)) and not ledger.fits(load(2, 11))


def test_without_a_limit_all_fits() -> None:
    assert MemoryLedger(None, {1: 1 << 50}).fits(load(2, 1 << 50))
