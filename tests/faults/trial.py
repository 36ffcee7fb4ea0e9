"""One fault: arrange the host, strike, look, mend by an ordinary command, look again."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import invariants
from .agentcall import KILLING, Blow, Ended, Step
from .cases import Case
from .scene import Scene


@dataclass
class Outcome:
    """`struck` False: this time the step did not come. `violations`: a sentence each."""

    case: str
    blow: Blow
    struck: bool
    ended: str
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.case}: {self.blow}; the run ended with {self.ended}: " + "; ".join(self.violations)


def survey(scene: Scene, case: Case) -> tuple[Step, ...]:
    """The steps of a verb, from a run without a fault that does what the verb promises."""
    case.arrange(scene)
    ended = scene.watch(case.verb, case.args(scene))
    assert ended.result is not None or ended.error["kind"] in case.ends, ended
    assert scene.settle() and not [*case.goal(scene), *invariants.true(scene)]
    return ended.steps


def strike(scene: Scene, case: Case, blow: Blow, reconcile_first: bool) -> Outcome:
    """Inject one fault; what a violation spoilt is begun anew by the next trial."""
    try:
        outcome = _strike(scene, case, blow, reconcile_first)
    except AssertionError as exc:
        outcome = Outcome(case.name, blow, False, "nothing known", [f"without a fault: {exc}"])
    if outcome.violations:
        scene.clear()
    return outcome


def _strike(scene: Scene, case: Case, blow: Blow, reconcile_first: bool) -> Outcome:
    case.arrange(scene)
    bystanders = _on(scene, scene.bystander)
    ended = scene.watch(case.verb, case.args(scene), blow)
    outcome = Outcome(case.name, blow, ended.struck, _how(ended))
    if ended.struck:
        note = outcome.violations.extend
        note(_aftermath(scene, case, blow, ended))
        if case.spares_bystander and _on(scene, scene.bystander) != bystanders:
            note(["the bystander's server was touched"])
        if reconcile_first:
            note(_named("after reconcile: ", _reconciled(scene)))
        note(_named("after the same again: ", _repeated(scene, case)))
    return outcome


def _aftermath(scene: Scene, case: Case, blow: Blow, ended: Ended) -> list[str]:
    found = [*invariants.spoken(ended, blow), *invariants.always(scene)]
    if not scene.settle():
        return [*found, "processes neither come up nor end: " + ", ".join(map(str, scene.family()))]
    found += invariants.always(scene)
    found += invariants.reported(scene, scene.must("status")["ports"])
    if ended.result is not None and case.claims(ended.result):
        found += _named("it said that it succeeded: ", [*case.goal(scene), *invariants.true(scene)])
    if ended.error and case.keeps and blow.fault not in (*KILLING, "full") and not _on(scene, scene.work):
        found.append(f"the previous model is not served again: {ended.error}")
    return found


def _reconciled(scene: Scene) -> list[str]:
    drift = scene.must("reconcile")["drift"]
    orphans = [row["port"] for row in drift if row["drift"] == "orphan"]
    return [*invariants.always(scene), *invariants.true(scene, orphans)]


def _repeated(scene: Scene, case: Case) -> list[str]:
    ended = scene.call(case.verb, case.args(scene))
    kind = ended.error.get("kind")
    found = [] if ended.result is not None or kind in case.ends else [f"{kind}: {ended.error.get('message')}"]
    if not scene.settle():
        found.append("processes neither come up nor end")
    return [*found, *invariants.always(scene), *case.goal(scene), *invariants.true(scene)]


def _on(scene: Scene, port: int) -> list[int]:
    return sorted(server.pid for server in scene.servers() if server.port == port)


def _how(ended: Ended) -> str:
    if ended.record is None:
        return "no record"
    return "a result" if ended.result is not None else str(ended.error.get("kind"))


def _named(where: str, found: list[str]) -> list[str]:
    return [where + sentence for sentence in found]
