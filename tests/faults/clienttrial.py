"""One fault in the client, or a signal to it: prepare the host, inject, check both machines, repeat
the command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from . import invariants
from .agentcall import KILLING, Blow, Step
from .clientcases import ClientCase
from .desk import Desk, Said
from .trial import Outcome

STATUSES = (*range(12), 130)
INTERRUPTED = 130
Look = Callable[[Desk, ClientCase, Blow, Said], Iterable[str]]


def survey(desk: Desk, case: ClientCase, moments: bool = False) -> tuple[Step, ...]:
    """The steps of a command, from a run without a fault that does what it promises."""
    case.arrange(desk.scene)
    desk.run(
        case.typed(desk.scene)
    )  # from now on the agent is installed and every module is compiled
    case.arrange(desk.scene)
    said = desk.watch(case.typed(desk.scene), moments=moments)
    assert said.ok is not case.wrong and not [
        *aftermath(desk, case, said),
        *case.goal(desk.scene),
    ], said
    return said.steps


def strike(desk: Desk, case: ClientCase, blow: Blow) -> Outcome:
    """Inject one fault."""
    return _trial(desk, case, blow, False, failed)


def interrupt(late: Sequence[Step]) -> Callable[[Desk, ClientCase, Blow], Outcome]:
    """Send the signals of the fault; at the moments in `late` the result is already known."""

    def look(desk: Desk, case: ClientCase, blow: Blow, said: Said) -> Iterator[str]:
        yield from _left(case, blow, said, blow.step in late)
        if case.undone and said.status == INTERRUPTED and " " not in blow.fault and not _done(said):
            yield from (f"not undone: {sentence}" for sentence in case.undone(desk.scene))
        if _done(said):
            yield from (
                f"it said that it was done: {sentence}" for sentence in case.goal(desk.scene)
            )

    return lambda desk, case, blow: _trial(desk, case, blow, True, look)


def too_late(steps: Sequence[Step]) -> Sequence[Step]:
    """The moments at which the result is being reported."""
    first = next(at for at, step in enumerate(steps) if ":begin_report" in step.place)
    return steps[first:]


def _trial(desk: Desk, case: ClientCase, blow: Blow, moments: bool, look: Look) -> Outcome:
    """The next trial rebuilds what a violation has broken."""
    case.arrange(desk.scene)
    said = desk.watch(case.typed(desk.scene), blow, moments)
    outcome = Outcome(case.name, blow, said.struck, f"status {said.status}")
    if said.struck:
        quiet = [*aftermath(desk, case, said)]
        outcome.violations += [
            *_calm(said),
            *quiet,
            *look(desk, case, blow, said),
            *repeated(desk, case),
        ]
    if outcome.violations:
        desk.scene.clear()
    return outcome


def _calm(said: Said) -> Iterator[str]:
    if "Traceback" in said.stderr or "Exception ignored" in said.stderr:
        yield "a traceback: " + said.stderr[-900:]


def failed(desk: Desk, case: ClientCase, blow: Blow, said: Said) -> Iterator[str]:
    """How a client may end: killed without output, or with a status of the contract and one
    document."""
    if blow.fault in KILLING and said.status == -9:
        return
    if said.status not in STATUSES:
        yield f"status {said.status}: {said.stderr[-300:]}"
    reader_gone = blow.step.event == "write" and blow.fault == "EPIPE"
    if not reader_gone and "cannot write the answer" not in said.stderr:
        yield from document_of(said)


def _left(case: ClientCase, blow: Blow, said: Said, late: bool) -> Iterator[str]:
    """How a client may end after a signal."""
    if said.status != INTERRUPTED and not (late and said.status == int(case.wrong)):
        yield f"status {said.status}: {said.stdout[:300]} {said.stderr[-300:]}"
    if said.seconds > case.undoing_s:
        yield f"it took {said.seconds:.0f} s"
    # Before the program has read its arguments, and at a second signal, it exits without output; or
    # with all of it, if the second signal arrives after the output.
    twice = " " in blow.fault
    reading = re.search(r"cli/__init__\.py:\d+:main", blow.step.place) is None
    if said.stdout or not (twice or late or reading):
        yield from document_of(said, left=twice and late)


def _done(said: Said) -> bool:
    return said.ok or "result" in (said.error.get("outcome") or {})


def document_of(said: Said, left: bool = False) -> Iterator[str]:
    """`left`: the status says how it exited, not what it did."""
    try:
        document = said.document
    except ValueError:
        yield f"not one document on stdout: {said.stdout[:300]!r}"
        return
    if not document:
        yield "nothing on stdout: " + said.stderr[-300:]
    elif document["ok"] != (document["error"] is None) or not (left or document["ok"] == said.ok):
        yield f"status {said.status} with {said.stdout[:300]}"
    if str(said.error.get("message")).startswith("internal error") or "trace" in said.error:
        yield f"a defect of its own: {said.error['message']}"


def aftermath(desk: Desk, case: ClientCase, said: Said) -> Iterator[str]:
    """The state of both machines, after the host has finished what it had started."""
    if not desk.quiet():
        yield f"still at work: {desk.agents()} {desk.left_running()} {desk.scene.family()}"
    yield from (f"left on the client: {path}" for path in desk.litter())
    yield from invariants.always(desk.scene)
    if case.true:
        yield from invariants.true(desk.scene)
    if said.ok:
        yield from (f"it said that it succeeded: {sentence}" for sentence in case.goal(desk.scene))


def repeated(desk: Desk, case: ClientCase) -> Iterator[str]:
    """The next ordinary command works as always."""
    said = desk.run(case.typed(desk.scene))
    if said.ok is case.wrong:
        yield (
            f"the same again: status {said.status}, "
            f"{said.error.get('message') or said.stderr[-300:]}"
        )
    yield from (
        f"after the same again: {sentence}"
        for sentence in [*case.goal(desk.scene), *document_of(said)]
    )
