"""Judge one port: what serves there, against what should. Pure."""

from __future__ import annotations

from typing import NamedTuple, Optional

from ..errors import mlxops_command
from ..models.location import same_repo
from ..ports.diagnosis import Diagnosis, diagnose
from ..ports.evidence import Expected, PortEvidence, Server
from ..ports.remedies import command
from ..registry.entries import Entry, Registry
from .intent import BOTH, DECLARED, WANTED, PlanOptions, Target

# Drifts beside a server that serves what it should.
_HARMLESS = (None, "missing", "duplicate", "unrecorded", "stray", "switched")
_NOTHING = {
    BOTH: "nothing is declared or wanted",
    DECLARED: "nothing is declared",
    WANTED: "nothing is wanted",
}
LOADS = ("load", "swap", "restart", "download")
STEPS = (*LOADS, "unload")


class Verdict(NamedTuple):
    """What a plan does with a port. `kind`: of an error, for `blocked` only. `hint`: the next
    command."""

    verdict: str
    reason: str
    kind: Optional[str] = None
    hint: str = ""

    @property
    def is_step(self) -> bool:
        return self.verdict in STEPS


def blocked(kind: str, reason: str, hint: str) -> Verdict:
    return Verdict("blocked", reason, kind, hint)


class Occupant(NamedTuple):
    """What is on a port, as diagnosed."""

    evidence: PortEvidence
    expected: Expected
    diagnosis: Diagnosis

    @property
    def port(self) -> int:
        return self.evidence.port

    @property
    def server(self) -> Optional[Server]:
        return self.evidence.server

    @property
    def is_registered(self) -> bool:
        """Whether the server belongs to an entry of the port: it is recorded, or has its model."""
        server, recorded = self.server, self.evidence.recorded
        if server is None or not self.expected.entries:
            return False
        pids = {server.process.pid, server.launcher.pid, *(p.pid for p in server.processes)}
        ours = recorded is not None and recorded.pid in pids
        return ours or any(_is_model_of(server, entry) for entry in self.expected.entries)

    @property
    def has_leftovers(self) -> bool:
        """Whether processes of a dead server are left."""
        seen = self.evidence
        return bool(seen.recorded or seen.orphan_workers or seen.other_hosts.alive)

    @property
    def is_used(self) -> bool:
        """Whether something may be on the port, or an entry is assigned to it."""
        return bool(self.expected.entries) or not self.evidence.proven_idle

    @property
    def names(self) -> str:
        """The entries on the port, as text."""
        return " and ".join(entry.name for entry in self.expected.entries)

    def live(self, registry: Registry) -> Optional[str]:
        """The entry that serves here, else the server's model; None without a server."""
        if self.server is None:
            return None
        if self.is_registered:
            return self.expected.entries[0].name
        model = self.server.invocation.model or "its default model"
        known = [e.name for e in registry.entries.values() if _is_model_of(self.server, e)]
        return known[0] if known else model

    def holds(self, target: Target) -> bool:
        """Whether the target's model is assigned to this port, or served here."""
        names = [entry.name for entry in self.expected.entries]
        if target.entry is not None and target.entry.name in names:
            return True
        return not self.is_registered and self._serves(target)

    def _serves(self, target: Target) -> bool:
        server = self.server
        if server is None or not target.source:
            return False
        if target.entry is not None:
            return _is_model_of(server, target.entry)
        # The registry may be lost, and with it what the path stands for.
        folder = "/models--%s/" % target.model.replace("/", "--")
        model = server.invocation.model or ""
        return same_repo(model, target.model) or folder.lower() in (model + "/").lower()


def observe_occupant(evidence: PortEvidence, expected: Expected) -> Occupant:
    return Occupant(evidence, expected, diagnose(evidence, expected))


def _is_model_of(server: Server, entry: Entry) -> bool:
    model = server.invocation.model
    return bool(model) and model in (entry.cache_path, entry.repo_id, entry.model_id)


def judge(there: Occupant, target: Target, options: PlanOptions) -> Verdict:
    """The verdict of a port on its own, before the rest of the plan is known."""
    if not target.source:
        return _without_target(there, target, options)
    obstacle = obstacle_of(there) or _problem(target)
    return obstacle or _compare(there, target)


def obstacle_of(there: Occupant) -> Optional[Verdict]:
    """Why the port cannot be touched, whatever should serve there; None if it can."""
    port, seen, found = there.port, there.evidence, there.diagnosis
    if seen.job is not None:
        return blocked("Locked", found.reason, mlxops_command("jobs"))
    if seen.unknown:
        return blocked("EvidenceUnknown", found.reason, mlxops_command("doctor"))
    if found.drift == "foreign":
        return blocked("ForeignListener", found.reason, command("foreign", port, None))
    if len(there.expected.entries) > 1:
        return blocked("AssignmentConflict", found.reason, command("duplicate", port, None))
    return None


def _problem(target: Target) -> Optional[Verdict]:
    problem = target.problem
    if problem is None:
        return None
    return blocked(problem.kind, problem.message, problem.hint)


def _compare(there: Occupant, target: Target) -> Verdict:
    entries = [entry.name for entry in there.expected.entries]
    own = target.entry is not None and entries == [target.entry.name]
    if there.server is not None and not there.is_registered:
        return _unregistered(there, target)
    if own and (there.server is not None or there.has_leftovers):
        return _own_server(there, target)
    if there.server is not None:
        return Verdict("swap", "%s; %s serves there" % (target.source, there.names))
    replaces = there.has_leftovers and bool(entries)
    return Verdict("swap" if replaces else "load", _both(target.source, there))


def _own_server(there: Occupant, target: Target) -> Verdict:
    found = there.diagnosis
    alive = found.state in ("ready", "starting") and bool(there.evidence.proven)
    if alive and found.drift in _HARMLESS:
        return Verdict("same", _both(target.source, there))
    return Verdict("restart", _both(target.source, there))


def _unregistered(there: Occupant, target: Target) -> Verdict:
    assert there.server is not None
    pid, model = there.server.process.pid, there.server.invocation.model or "its default model"
    if there.holds(target):
        text = "pid %d serves it already, but is not in the registry" % pid
        return blocked("Unregistered", text, "mlxops init adopts it")
    return Verdict(
        "swap", "%s; pid %d serves %s and is not in the registry" % (target.source, pid, model)
    )


def _both(source: str, there: Occupant) -> str:
    """Both as a reason; "wanted since yesterday" says already that it is wanted, and an empty
    port that it is declared."""
    found = there.diagnosis
    reason = "nothing serves there" if found.drift == "empty" else found.reason
    return reason if reason.startswith(source + " ") else "; ".join(filter(None, (source, reason)))


def _without_target(there: Occupant, target: Target, options: PlanOptions) -> Verdict:
    reason = _NOTHING[options.to]
    if target.declared_for is not None:
        reason = "%s is declared for port %d" % (target.wanted, target.declared_for)
    if not (options.prune and _may_unload(there)):
        return Verdict("leave", reason)
    obstacle = obstacle_of(there)
    if obstacle is not None:
        return obstacle
    server = there.server
    if server is not None and not (there.is_registered and there.evidence.proven):
        text = "%s; pid %d is not in the registry" % (reason, server.process.pid)
        hint = "mlxops init adopts it, %s stops it" % mlxops_command("unload", there.port)
        return blocked("Unregistered", text, hint)
    if server is None and not there.expected.entries:
        return Verdict("leave", _both(reason, there))
    return Verdict("unload", _both(reason, there))


def _may_unload(there: Occupant) -> bool:
    """Whether there may be something to unload that is not another user's."""
    return there.is_used and there.diagnosis.drift != "foreign"
