"""One fault in the client: arrange the host, strike, look at both machines, then the same command again."""

from __future__ import annotations

from collections.abc import Iterator

from . import invariants
from .agentcall import KILLING, Blow, Step
from .clientcases import ClientCase
from .desk import Desk, Said
from .trial import Outcome

# docs/…: the exit statuses of the command line
STATUSES = (*range(12), 130)


def survey(desk: Desk, case: ClientCase, moments: bool = False) -> tuple[Step, ...]:
    """The steps of a command, from a run without a fault that does what it promises."""
    case.arrange(desk.scene)
    desk.run(case.typed(desk.scene))  # the agent is there from now on, and every module is compiled
    case.arrange(desk.scene)
    said = desk.watch(case.typed(desk.scene), moments=moments)
    assert said.status in (0, 1) and not [*aftermath(desk, case, said), *case.goal(desk.scene)], said
    return said.steps


def strike(desk: Desk, case: ClientCase, blow: Blow) -> Outcome:
    """Inject one fault; what a violation spoilt is begun anew by the next trial."""
    case.arrange(desk.scene)
    said = desk.watch(case.typed(desk.scene), blow)
    outcome = Outcome(case.name, blow, said.struck, f"status {said.status}")
    if said.struck:
        found = [*spoken(said, blow.fault in KILLING), *aftermath(desk, case, said), *repeated(desk, case)]
        outcome.violations.extend(found)
    if outcome.violations:
        desk.scene.clear()
    return outcome


def spoken(said: Said, killed: bool) -> Iterator[str]:
    """How a client may end: killed without a word, else with a status of the design's and one document."""
    if "Traceback" in said.stderr or "Exception ignored" in said.stderr:
        yield "a traceback: " + said.stderr[-600:]
    if killed and said.status == -9:
        return
    if said.status not in STATUSES:
        yield f"status {said.status}: {said.stderr[-300:]}"
    if "answer could not be written" not in said.stderr:
        yield from _document(said)


def _document(said: Said) -> Iterator[str]:
    try:
        document = said.document
    except ValueError:
        yield f"not one document on stdout: {said.stdout[:300]!r}"
        return
    if not document:
        yield "nothing on stdout: " + said.stderr[-300:]
    elif document["ok"] != (document["error"] is None) or document["ok"] != said.ok:
        yield f"status {said.status} with {said.stdout[:300]}"
    if "defect" in str(said.error.get("hint")) or "trace" in said.error:
        yield f"a defect of its own: {said.error['message']}"


def aftermath(desk: Desk, case: ClientCase, said: Said) -> Iterator[str]:
    """On both machines, once the host has ended what it had begun."""
    if not desk.quiet():
        yield f"still at work: {desk.agents()} {desk.left_running()} {desk.scene.family()}"
    yield from (f"left on the client: {path}" for path in desk.litter())
    yield from invariants.always(desk.scene)
    if case.true:
        yield from invariants.true(desk.scene)
    if said.ok:
        yield from (f"it said that it succeeded: {sentence}" for sentence in case.goal(desk.scene))


def repeated(desk: Desk, case: ClientCase) -> Iterator[str]:
    """The next ordinary command does what it always does."""
    said = desk.run(case.typed(desk.scene))
    if said.status not in (0, 1) or said.error:
        yield f"the same again: status {said.status}, {said.error.get('message') or said.stderr[-300:]}"
    yield from (f"after the same again: {sentence}" for sentence in [*case.goal(desk.scene), *spoken(said, False)])
