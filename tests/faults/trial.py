"""One fault: prepare the host, inject, check, repair by an ordinary command, check again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from . import invariants
from .agentcall import KILLING, Blow, Ended, Step
from .cases import Case, Rows
from .kinds import EXCEPTIONS, JUMPS
from .scene import Scene
from .strikes import LASTING


@dataclass
class Outcome:
    """`struck` False: this time the step did not happen. `violations`: one sentence each.
    `seconds`: of the whole trial."""

    case: str
    blow: Blow
    struck: bool
    ended: str
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.case}: {self.blow}; the run ended with {self.ended}: " + "; ".join(
            self.violations
        )


def survey(scene: Scene, case: Case) -> tuple[Step, ...]:
    """The steps of a verb, from a run without a fault that does what the verb promises."""
    case.arrange(scene)
    ended = scene.watch(case.verb, case.args(scene))
    assert ended.result is not None or ended.error["kind"] in case.ends, ended
    told = case.told(scene, ended, _rows(scene.must("status")))
    assert scene.settle() and not [*case.goal(scene), *invariants.true(scene), *told]
    return ended.steps


def _rows(status: Any) -> Rows:
    return {row["port"]: row for row in status["ports"]}


def strike(scene: Scene, case: Case, blow: Blow, reconcile_first: bool) -> Outcome:
    """Inject one fault; the next trial rebuilds what a violation has broken."""
    began = time.monotonic()
    try:
        outcome = _strike(scene, case, blow, reconcile_first)
    except AssertionError as exc:
        outcome = Outcome(case.name, blow, False, "nothing known", [f"without a fault: {exc}"])
    if outcome.violations:
        scene.clear()
    outcome.seconds = round(time.monotonic() - began, 2)
    return outcome


def _strike(scene: Scene, case: Case, blow: Blow, reconcile_first: bool) -> Outcome:
    case.arrange(scene)
    bystanders = _on(scene, scene.bystander)
    ended = scene.watch(case.verb, case.args(scene), blow)
    outcome = Outcome(case.name, blow, ended.struck, how(ended))
    if ended.struck:
        note = outcome.violations.extend
        note(_aftermath(scene, case, blow, ended))
        if case.spares_bystander and _on(scene, scene.bystander) != bystanders:
            note(["the bystander's server was touched"])
        if reconcile_first or case.elsewhere:
            note(_named("after reconcile: ", _reconciled(scene)))
        note(_named("after the same again: ", _repeated(scene, case)))
    return outcome


def _aftermath(scene: Scene, case: Case, blow: Blow, ended: Ended) -> list[str]:
    found = [*invariants.spoken(ended, blow, case.ends)]
    # What a killed conductor has started works on, and holds its locks.
    found += [] if scene.conducted() else invariants.always(scene)
    if not scene.settle():
        return [*found, "processes neither come up nor end: " + ", ".join(map(str, scene.family()))]
    found += invariants.always(scene)
    status = scene.must("status")
    found += [*invariants.reported(scene, status["ports"]), *invariants.in_time(ended, status)]
    found += invariants.remembered(scene, status["ports"])
    found += case.told(scene, ended, _rows(status))
    if ended.result is not None and case.claims(ended.result):
        found += _named("it said that it succeeded: ", [*case.goal(scene), *invariants.true(scene)])
    if blow.fault in JUMPS:
        found += _named(
            "by the clock alone: ",
            [*_promised(case, ended), *case.goal(scene), *invariants.true(scene)],
        )
    # If models are reported as unloaded for good, the load succeeded and failed in its last step.
    over = [one["port"] for one in ended.error.get("evicted", ()) if one["outcome"] == "unloaded"]
    kept = [port for port in (getattr(scene, name) for name in case.keeps) if port not in over]
    always = [getattr(scene, name) for name in case.endures] if blow.fault in LASTING else []
    missing = [port for port in {*kept, *always} if not _on(scene, port)]
    if blow.fault in KILLING and case.goal(scene):
        # Models evicted for a load that became ready are forgotten, as after `unload`.
        found += invariants.forgotten(scene, missing)
    if ended.error and missing and not _hopeless(blow):
        found.append(f"a previous model is not served again on {missing}: {ended.error}")
    return found


def _hopeless(blow: Blow) -> bool:
    """After a kill; after an internal error while the old server was being stopped, its state is
    unknown, so nothing is started."""
    return blow.fault in KILLING or (blow.fault in EXCEPTIONS and ":vacate" in blow.step.place)


def _reconciled(scene: Scene) -> list[str]:
    """Servers without an assignment are adopted."""
    drift = scene.must("reconcile")["drift"]
    if any(row["drift"] == "orphan" for row in drift):
        scene.must("init")
        drift = scene.must("reconcile")["drift"]
    orphans = [row["port"] for row in drift if row["drift"] == "orphan"]
    return [*invariants.always(scene), *invariants.true(scene, orphans)]


def _repeated(scene: Scene, case: Case) -> list[str]:
    ended = scene.call(case.verb, case.args(scene))
    found = _promised(case, ended)
    if not scene.settle():
        found.append("processes neither come up nor end")
    return [*found, *invariants.always(scene), *case.goal(scene), *invariants.true(scene)]


def _promised(case: Case, ended: Ended) -> list[str]:
    """The run ended as one without a fault does."""
    kind = ended.error.get("kind")
    return (
        []
        if ended.result is not None or kind in case.ends
        else [f"{kind}: {ended.error.get('message')}"]
    )


def _on(scene: Scene, port: int) -> list[int]:
    return sorted(server.pid for server in scene.servers() if server.port == port)


def how(ended: Ended) -> str:
    if ended.record is None:
        return "no record"
    return "a result" if ended.result is not None else str(ended.error.get("kind"))


def _named(where: str, found: list[str]) -> list[str]:
    return [where + sentence for sentence in found]
