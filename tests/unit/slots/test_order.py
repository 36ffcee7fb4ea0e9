"""Memory and order: what frees memory comes first, and the whole sum is checked."""

from __future__ import annotations

from mlxops.agent.slots.plan import Plan
from tests.support.slots import (
    GIB,
    JOB,
    entry,
    plan_for,
    row,
    serves,
    sizes,
    verdicts,
)

A0, B1, C2 = entry("a", 8100, 8100), entry("b", 8101, 8101), entry("c", 8102, 8102)
X, Y, Z = entry("x"), entry("y"), entry("z")
SERVING = [serves("a", 8100), serves("b", 8101), serves("c", 8102)]


def first(made: Plan) -> list[int]:
    return [one.port for one in made.rows if one.unload_first]


def test_without_a_shortage_all_steps_are_side_by_side():
    measured = sizes(300, {8100: 50, 8101: 50}, {8100: 60, 8101: 60})
    made = plan_for({8100: "x", 8101: "y"}, [A0, B1, X, Y], SERVING[:2], measured)
    assert made.order == ((8100, 8101),)
    assert (made.memory.now_bytes, made.memory.peak_bytes) == (100 * GIB, 120 * GIB)


def test_a_step_that_frees_memory_comes_before_one_that_needs_it():
    measured = sizes(100, {8100: 50, 8101: 50}, {8100: 80, 8101: 20})
    made = plan_for({8100: "x", 8101: "y"}, [A0, B1, X, Y], SERVING[:2], measured)
    assert made.order == ((8101,), (8100,))
    assert row(made, 8100).after == (8101,)
    assert first(made) == []
    assert made.memory.peak_bytes == 100 * GIB


def test_what_does_not_need_the_memory_does_not_wait_for_it():
    measured = sizes(110, {8100: 50, 8101: 50}, {8100: 80, 8101: 20, 8102: 10})
    entries = [A0, B1, X, Y, Z]
    made = plan_for({8100: "x", 8101: "y", 8102: "z"}, entries, SERVING[:2], measured)
    assert made.order == ((8101, 8102), (8100,))
    assert row(made, 8100).after == (8101,)
    assert row(made, 8102).after == ()


def test_of_two_steps_that_free_memory_the_larger_is_waited_for():
    measured = sizes(120, {8100: 60, 8101: 40}, {8100: 10, 8101: 20, 8102: 60})
    made = plan_for({8100: "x", 8101: "y", 8102: "z"}, [A0, B1, X, Y, Z], SERVING[:2], measured)
    assert made.order == ((8100, 8101), (8102,))
    assert row(made, 8102).after == (8100,)


def test_steps_that_grow_need_no_unload_if_they_fit_in_the_end():
    measured = sizes(100, {8100: 45, 8101: 45}, {8100: 50, 8101: 50})
    made = plan_for({8100: "x", 8101: "y"}, [A0, B1, X, Y], SERVING[:2], measured)
    assert first(made) == []
    assert made.memory.peak_bytes == 100 * GIB


def test_a_port_is_unloaded_first_where_a_move_must_wait_for_a_step_that_grows():
    # 8101 gets a, and only then uses less, but x does not fit on 8100 before that.
    measured = sizes(100, {8100: 40, 8101: 50}, {8100: 70, 8101: 20})
    made = plan_for({8100: "x", 8101: "a"}, [A0, B1, X], SERVING[:2], measured)
    assert made.memory.fits
    assert first(made) == [8100]
    assert made.order == ((8100,), (8101,), (8100,))


def test_a_sum_that_does_not_fit_touches_nothing():
    measured = sizes(100, {8100: 50, 8101: 40}, {8100: 70})
    made = plan_for({8100: "x"}, [A0, B1, X], SERVING[:2], measured)
    assert (made.memory.fits, made.order) == (False, ())
    assert made.memory.ports == {
        8100: 70 * GIB,
        8101: 40 * GIB,
        **dict.fromkeys(range(8102, 8110), 0),
    }
    assert verdicts(made) == {8100: "swap", 8101: "same"}


def test_a_model_that_is_too_large_alone_counts_in_the_sum():
    measured = sizes(100, {8101: 40}, {8100: 101, 8102: 10})
    made = plan_for({8100: "x", 8102: "z"}, [B1, X, Z], SERVING[1:2], measured)
    assert verdicts(made)[8100] == "blocked TooBig"
    assert (made.memory.fits, made.order) == (False, ())
    assert sum(made.memory.ports.values()) == 151 * GIB


def test_servers_outside_of_the_plan_count_in_the_sum():
    measured = sizes(100, {8100: 50, 8101: 40, 9000: 5}, {8100: 56})
    made = plan_for({8100: "x"}, [A0, B1, X], SERVING[:2], measured, ports=(8100,))
    assert not made.memory.fits


def test_a_shrinking_plan_is_never_refused_for_memory():
    measured = sizes(80, {8100: 50, 8101: 40}, {8100: 45})
    made = plan_for({8100: "x"}, [A0, B1, X], SERVING[:2], measured)
    assert (made.memory.fits, made.order) == (True, ((8100,),))


def test_evict_unloads_as_few_ports_as_needed_also_those_not_asked_for():
    measured = sizes(100, {8100: 50, 8101: 40}, {8105: 45})
    made = plan_for({8105: "x"}, [A0, B1, X], SERVING[:2], measured, ports=(8105,), evict=True)
    assert verdicts(made) == {8101: "unload", 8105: "load"}
    assert made.order == ((8101,), (8105,))
    assert row(made, 8105).after == (8101,)
    assert "makes room" in row(made, 8101).reason


def test_evict_takes_only_registered_servers_that_the_plan_leaves_alone():
    measured = sizes(100, {8100: 30, 8101: 30, 8102: 30}, {8105: 40})
    seen = [serves("a", 8100), serves("b", 8101)._replace(job=JOB), serves("c", 8102)]
    # a is declared, b has a job, and c is not in the registry.
    made = plan_for({8100: "a", 8105: "x"}, [A0, B1, X], seen, measured, evict=True)
    assert "unload" not in verdicts(made).values()
    assert not made.memory.fits


def test_evict_leaves_the_model_that_another_port_waits_for():
    measured = sizes(100, {8100: 50}, {8105: 60})
    made = plan_for({8101: "a", 8105: "x"}, [A0, X], SERVING[:1], measured, evict=True)
    assert verdicts(made) == {8101: "blocked ModelElsewhere", 8105: "load"}
    assert not made.memory.fits


def test_evict_unloads_nothing_if_all_would_be_too_few():
    measured = sizes(100, {8100: 50, 8101: 50}, {8105: 60})
    made = plan_for(
        {8100: "a", 8105: "x"}, [A0, B1, X], SERVING[:2], measured, evict=True, to="declared"
    )
    assert verdicts(made) == {8100: "same", 8105: "load"}
    assert not made.memory.fits


def test_without_a_known_limit_there_is_a_warning_and_no_order_by_memory():
    measured = sizes(None, {8100: 50, 8101: 50}, {8100: 80, 8101: 20})
    made = plan_for({8100: "x", 8101: "y"}, [A0, B1, X, Y], SERVING[:2], measured)
    assert made.order == ((8101, 8100),)
    assert any("memory was not checked" in text for text in made.warnings)


def test_a_failure_stops_only_what_depends_on_it():
    # z needs room: 8100 gives it. y fits without.
    measured = sizes(100, {8100: 50, 8101: 20, 8102: 20}, {8100: 10, 8101: 25, 8103: 40})
    entries = [A0, B1, C2, X, Y, Z]
    made = plan_for({8100: "x", 8101: "y", 8103: "z"}, entries, SERVING, measured)
    assert row(made, 8101).after == ()
    assert row(made, 8103).after == (8100,)


def test_forty_ports_are_ordered_in_time():
    ports = tuple(range(8100, 8140))
    entries = [entry(f"m{p}", p, p) for p in ports]
    seen = [serves(f"m{p}", p) for p in ports]
    shifted = {p: f"m{8100 + (p - 8099) % 40}" for p in ports}
    measured = sizes(40 * 10 + 1, dict.fromkeys(ports, 10), dict.fromkeys(ports, 10))
    made = plan_for(shifted, entries, seen, measured, ports=ports)
    assert len(first(made)) == 1
    assert sum(map(len, made.order)) == 41


def test_a_few_bytes_more_or_less_do_not_change_the_plan():
    measured = sizes(300, {8100: 50, 8101: 50}, {8100: 50, 8101: 50})
    plans = []
    for port in (8100, 8101):
        used = {**measured.used_by_port, port: 50 * GIB + 4096}
        measurement = measured._replace(used_by_port=used)
        plans.append(plan_for({8100: "b", 8101: "a"}, [A0, B1], SERVING[:2], measurement))
    assert first(plans[0]) == first(plans[1]) == [8100]
    assert plans[0].order == plans[1].order
