"""Plan how to make the registry match the host, and list the drift that people must fix. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..registry.entries import Entry
from . import remedies
from .diagnosis import Diagnosis, diagnose, missed_drift, unreported_strays
from .evidence import Expected, PortEvidence


class Action(NamedTuple):
    """One change to the registry: `clear` frees the port of an entry. `next`: the command that
    loads it again."""

    action: str
    entry: str
    port: int
    reason: str
    next: str
    applied: bool = False


class Drift(NamedTuple):
    """A difference between registry and host. `next`: the command that fixes it."""

    drift: str
    port: Optional[int]
    entry: Optional[str]
    reason: str
    next: Optional[str] = None


class Broken(NamedTuple):
    """A port whose server is broken, although registry and host agree. `next`: the command that
    fixes it."""

    state: str
    port: int
    entry: Optional[str]
    reason: str
    next: Optional[str] = None


class ReconcilePlan(NamedTuple):
    actions: Tuple[Action, ...]
    drift: Tuple[Drift, ...]
    broken: Tuple[Broken, ...] = ()

    def to_wire(self) -> Dict[str, List[Dict[str, Any]]]:
        return {key: [one._asdict() for one in rows] for key, rows in self._asdict().items()}


def plan_reconcile(
    evidence: Mapping[int, PortEvidence], expected: Mapping[int, Expected]
) -> ReconcilePlan:
    """Clear assignments whose servers are proven gone; report all other drift and every broken
    server."""
    actions: List[Action] = []
    drifts: List[Drift] = []
    broken: List[Broken] = []
    for port in sorted(evidence):
        want, port_evidence = expected[port], evidence[port]
        verdict = diagnose(port_evidence, want)
        if want.entries and port_evidence.proven_idle:
            steps = [(e.name, remedy("stale", port, e, want)) for e in want.entries]
            actions += [
                Action(action="clear", entry=name, port=port, reason=verdict.reason, next=step)
                for name, step in steps
            ]
        elif verdict.drift or verdict.state == "unknown":
            drifts.append(_drift(verdict, port, want))
        beside = unreported_strays(port_evidence, verdict)
        if beside:
            drifts.append(
                Drift(
                    drift="stray",
                    port=port,
                    entry=None,
                    reason=beside,
                    next=remedies.command("stray", port, None),
                )
            )
        if verdict.broken and port_evidence.job is None:
            broken.append(
                Broken(
                    state=verdict.state,
                    port=port,
                    entry=want.entry.name if want.entry else None,
                    reason=verdict.reason,
                    next=remedy(verdict.state, port, want.entry, want),
                )
            )
    return ReconcilePlan(tuple(actions), tuple(drifts), tuple(broken))


def _drift(verdict: Diagnosis, port: int, want: Expected) -> Drift:
    kind = verdict.drift or "unknown"
    entry = want.entry if want.entries or kind in ("lost", "held", "duplicate") else None
    return Drift(
        drift=kind,
        port=port,
        entry=entry.name if entry else None,
        reason=verdict.reason,
        next=remedy(kind, port, entry, want),
    )


def cleared_drift(port: int, want: Expected) -> Optional[Drift]:
    """The drift of a port whose assignment was just cleared."""
    drift, reason = missed_drift(want)
    return _drift(Diagnosis("free", drift, reason), port, want) if drift else None


def remedy(kind: str, port: int, entry: Optional[Entry], want: Expected) -> str:
    """The command that fixes it."""
    if kind == "duplicate" and len(want.entries) < 2:
        kind = remedies.RIVALS
    if entry is None:
        return remedies.command(kind, port, None)
    if kind == "missing" and not entry.repo_id:
        kind = remedies.MOVED
    lost = entry.name in want.missing and bool(entry.repo_id)
    return remedies.command(kind, port, entry.name, entry.slot, lost)
