"""The client is killed, refused by its machine, or told to leave, at a sample of its steps and
moments.

More of it, on all commands: `python -m tests.faults.clientsoak -n N`."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from .agentcall import Blow, Step
from .campaign import hosts
from .clientcampaign import Desks, desks, faults, presses, sample
from .clientcases import COMMANDS
from .clienttrial import interrupt, strike, too_late
from .desk import Desk
from .kinds import blows
from .kinds import sample as sample_kinds
from .stubtrial import Bed
from .stubtrial import strike as strike_stub
from .stubtrial import survey as survey_stub
from .trial import Outcome

pytestmark = pytest.mark.slow

SEED = 21
FAULTS = {"load-swap ssh": 12, "reconcile local": 10, "register ssh": 10}
PRESSES = {"load-swap local": 10, "load-swap ssh": 6, "register ssh": 6, "hosts": 6, "fit local": 4}
STUB_FAULTS = 14
# Violations once: command, a function on the way to the step, the event, the fault.
KEPT = (
    # A link reset while the request was sent passed for Ctrl-C: status 130.
    ("register ssh", "send", "socket.send", "ECONNRESET"),
    # Words for people that could not be written ended the command in the middle of its work.
    ("load-swap local", "_on_phase", "write", "EPIPE"),
    ("load-swap local", "_on_phase", "write", "ENOSPC"),
    # A machine that refuses something is no defect of ours.
    ("register ssh", "query_ssh", "subprocess.Popen", "ENOMEM"),
    ("reconcile local", "exclusive", "fcntl.flock", "ENOLCK"),
)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    with desks(2, tmp_path_factory.mktemp("desks")) as farm:
        yield farm


def clean(outcomes: Sequence[Outcome]) -> None:
    assert [str(outcome) for outcome in outcomes if outcome.violations] == []
    missed = [str(outcome.blow) for outcome in outcomes if not outcome.struck]
    assert len(missed) <= len(outcomes) // 5, missed


@pytest.mark.openssh
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_client_leaves_both_machines_in_order(name: str, farm: Desks) -> None:
    wanted = sample(faults(farm.steps(COMMANDS[name])), FAULTS[name], random.Random(SEED))
    clean(farm.each(strike, COMMANDS[name], wanted))


@pytest.mark.openssh
@pytest.mark.parametrize("name", PRESSES)
def test_a_signal_at_any_moment_ends_in_130_and_nothing_half_done(name: str, farm: Desks) -> None:
    dice = random.Random(SEED)
    moments = farm.steps(COMMANDS[name], moments=True)
    wanted = sample(presses(moments, dice), PRESSES[name], dice)
    clean(farm.each(interrupt(too_late(moments)), COMMANDS[name], wanted))


@pytest.mark.openssh
@pytest.mark.parametrize(("name", "function", "event", "fault"), KEPT)
def test_what_was_violated_once(
    name: str, function: str, event: str, fault: str, farm: Desks
) -> None:
    steps = [step for step in farm.steps(COMMANDS[name]) if _met(step, function, event)]
    outcomes = farm.each(strike, COMMANDS[name], [Blow(step, fault) for step in steps[:1]])
    assert any(outcome.struck for outcome in outcomes)
    clean(outcomes)


def _met(step: Step, function: str, event: str) -> bool:
    return step.event == event and f":{function} <" in step.place + " <" and step.nth == 1


def test_a_fault_while_the_agent_is_planted_is_made_good_by_the_next_command(
    tmp_path: object,
) -> None:
    with hosts(1) as farm:
        bed = Bed(Desk(farm.scenes[0], ssh=False))
        steps = survey_stub(bed)
        wanted = sample_kinds(blows(steps), STUB_FAULTS, random.Random(SEED))
        clean([strike_stub(bed, blow) for blow in wanted])
