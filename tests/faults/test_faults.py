"""kill -9 at every step of the verbs that matter most, and a sample of everything else that can go wrong there.

The whole of it, on all verbs: `python -m tests.faults.soak -n N`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from .agentcall import Blow
from .campaign import Hosts, errors, hosts, kills, sample, table
from .cases import CASES

# verb -> how many of the other faults
SAMPLED = {"register": 15, "unload": 15, "reconcile": 15, "load-swap": 25}
SEED = 20
# Cases that were violations once: verb, a function on the way to the step, the event, the fault.
KEPT = (
    # The note that the new model serves could not be written, so the old one was started beside it.
    ("load-swap", "_mark_ready", "write", "ENOSPC"),
    # Servers that could not be seen passed for servers that are not there.
    ("init", "processes", "open-read", "EACCES"),
)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with hosts(4, tmp_path_factory.mktemp("faults")) as farm:
        yield farm


@pytest.mark.parametrize("name", SAMPLED)
def test_every_fault_leaves_a_host_that_one_command_makes_true(name: str, farm: Hosts, capsys: Any) -> None:
    steps = farm.steps(CASES[name])
    chosen = kills(steps) + sample(errors(steps), SAMPLED[name], random.Random(SEED))
    outcomes = farm.strike(CASES[name], chosen)
    with capsys.disabled():
        print("\n" + table({name: steps}, outcomes))
    assert [str(outcome) for outcome in outcomes if outcome.violations] == []
    missed = [str(outcome.blow) for outcome in outcomes if not outcome.struck]
    assert len(missed) <= len(outcomes) // 5, missed


@pytest.mark.parametrize(("name", "function", "event", "fault"), KEPT)
def test_what_was_violated_once(name: str, function: str, event: str, fault: str, farm: Hosts) -> None:
    steps = [step for step in farm.steps(CASES[name]) if step.event == event and f":{function}" in step.place]
    outcomes = farm.strike(CASES[name], [Blow(step, fault) for step in steps if step.nth == 1])
    assert any(outcome.struck for outcome in outcomes)
    assert [str(outcome) for outcome in outcomes if outcome.violations] == []
