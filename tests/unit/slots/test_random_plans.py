"""Random hosts: their plans, run in any order that is allowed, reach a host that needs none."""

from __future__ import annotations

import os
import random
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from mlxops.agent.slots.intent import PlanOptions
from mlxops.agent.slots.plan import Plan
from tests.support.slots import GIB, PORTS
from tests.support.slotworld import Run, Spot, World, moves_in_a_circle, right_ports

NAMES = tuple("abcdefghijkl")
MODELS = ("hung", "odd", "starting", "stray", "gone", "gone", "ready", "ready")
NOTHING = ("free", "free", "free", "foreign", "unknown", "job")
# Of each slow test.
MANY = int(os.environ.get("MLXOPS_TEST_RANDOM_HOSTS", "400"))
RELAXED = settings(
    deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


class Case(NamedTuple):
    world: World
    options: PlanOptions
    chance: random.Random


def random_case(number: int) -> Case:
    chance = random.Random(number)
    # Some hosts are calm: everything serves. On others all kinds of trouble are frequent.
    trouble = chance.choice((0.0, 0.05, 0.3, 0.7))
    spots = random_spots(chance, trouble)
    declared = random_declarations(chance, spots)
    known = {name for name in NAMES if chance.random() < 0.8}
    known |= {spot.model for spot in spots.values() if spot.model and spot.state != "stray"}
    world = World(
        spots=spots,
        declared=declared,
        wants=random_wants(chance, spots, known),
        known=known,
        needs={name: chance.randint(0, 60) * GIB for name in NAMES},
        gated=set(chance.sample(NAMES, 2)) if chance.random() < trouble else set(),
    )
    slack = chance.choice((None, 0, 5, 20, 60, 300))
    world.limit = None if slack is None else sum(world.used.values()) + slack * GIB
    options = PlanOptions(
        ports=chance.choice((PORTS, PORTS, PORTS, PORTS[:6], PORTS[::2], PORTS[3:4])),
        to=chance.choice(("both", "both", "declared", "wanted")),
        prune=chance.random() < 0.3,
        evict=chance.random() < 0.3,
        jobs=chance.randint(1, 4),
    )
    return Case(world, options, chance)


def random_spots(chance: random.Random, trouble: float) -> dict[int, Spot]:
    spots = {}
    for port, name in zip(PORTS, chance.sample(NAMES, len(PORTS)), strict=True):
        state = chance.choice(MODELS) if chance.random() < trouble else "ready"
        more = chance.choice((0, 0, 20, -20)) * GIB
        spots[port] = Spot(state, name, more)
        if chance.random() < max(0.1, trouble / 2):
            spots[port] = Spot(chance.choice(NOTHING) if trouble else "free")
    return spots


def random_declarations(chance: random.Random, spots: dict[int, Spot]) -> dict[int, str]:
    """Most ports as they are; of the others, the models change places, or a new one comes."""
    declared = {port: spot.model for port, spot in spots.items() if spot.model}
    moving = chance.sample(sorted(declared), chance.randint(0, len(declared)))
    chance.shuffle(moving)
    while len(moving) > 1:
        circle = [moving.pop() for _ in range(min(len(moving), chance.randint(2, 4)))]
        models = [declared[port] for port in circle]
        declared.update(zip(circle, models[1:] + models[:1], strict=True))
    for port in spots:
        unused = sorted(set(NAMES) - set(declared.values()))
        if unused and chance.random() < 0.15:
            declared[port] = chance.choice(unused)
        elif chance.random() < 0.2:
            declared.pop(port, None)
    return {port: name for port, name in declared.items() if name}


def random_wants(chance: random.Random, spots: dict[int, Spot], known: set[str]) -> dict[str, int]:
    wants = {s.model: port for port, s in spots.items() if s.model and chance.random() < 0.8}
    for name in NAMES:
        if chance.random() < 0.15:
            wants[name] = chance.choice(PORTS)
    return {name: port for name, port in wants.items() if name in known}


CASES = st.integers(0, 1 << 60).map(random_case)


def check(case: Case) -> None:
    world, options = case.world, case.options
    made = world.plan(options)
    check_plan(case, made)
    after = Run(world, made, options.jobs, case.chance).go()
    again = after.plan(options)
    assert again.changes == 0 or not made.memory.fits, again.rows
    for row in made.rows:
        target = world.target(row.port, options.to)
        if row.verdict in ("load", "swap", "restart", "download") and made.memory.fits:
            assert after.spots[row.port] == Spot("ready", target)
        elif row.verdict == "unload":
            assert after.spots[row.port] == Spot() or not made.memory.fits
        else:
            assert after.spots[row.port] == world.spots[row.port]
    kept = set(world.spots) - {row.port for row in made.rows}
    assert {p: after.spots[p] for p in kept} == {p: world.spots[p] for p in kept}


def check_plan(case: Case, made: Plan) -> None:
    world, options = case.world, case.options
    assert made == world.plan(options)
    rows = {row.port: row for row in made.rows}
    right = right_ports(world, options.ports, options.to)
    assert {p for p in options.ports if rows[p].verdict == "same"} == right
    assert set(options.ports) <= set(rows)
    assert all(rows[p].verdict == "unload" for p in set(rows) - set(options.ports))
    stepping = sorted(
        p for p, row in rows.items() if row.verdict not in ("same", "leave", "blocked")
    )
    order = [port for group in made.order for port in group]
    first = sorted(p for p, row in rows.items() if row.unload_first)
    assert sorted(order) == (sorted([*stepping, *first]) if made.memory.fits else [])
    assert made.changes == len(stepping)
    if made.memory.fits:
        circles = moves_in_a_circle(world, made, options.to)
        assert len(first) >= circles
        assert len(first) == circles or world.limit is not None


def check_failures(case: Case) -> None:
    """Some steps fail: nothing else is touched, and the next plan, run without failures, does the
    rest."""
    world, options = case.world, case.options
    made = world.plan(options)
    halfway = Run(world, made, options.jobs, case.chance).go(fails=0.3)
    for port in right_ports(world, options.ports, options.to):
        assert halfway.spots[port] == world.spots[port]
    second = halfway.plan(options)
    if made.memory.fits and not options.evict:
        assert second.memory.fits
        assert Run(halfway, second, options.jobs, case.chance).go().plan(options).changes == 0


@settings(RELAXED, max_examples=120)
@given(CASES)
def test_a_few_random_hosts(case: Case) -> None:
    check(case)


@settings(RELAXED, max_examples=80)
@given(CASES)
def test_a_few_random_hosts_with_failures(case: Case) -> None:
    check_failures(case)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_many_random_hosts(number: int) -> None:
    seed(number)(settings(RELAXED, max_examples=MANY)(given(CASES)(check)))()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_many_random_hosts_with_failures(number: int) -> None:
    seed(number)(settings(RELAXED, max_examples=MANY)(given(CASES)(check_failures)))()
