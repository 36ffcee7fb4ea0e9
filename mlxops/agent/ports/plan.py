"""The plan that makes the registry true again, and the drift it leaves to people. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..registry.entries import Entry
from . import remedies
from .diagnosis import Diagnosis, Expected, describe_lost, diagnose, unreported_strays
from .evidence import PortEvidence


class Action(NamedTuple):
    """One change to the registry: `clear` takes the port of an entry away. `next`: the command that
    brings it back."""

    action: str
    entry: str
    port: int
    reason: str
    next: str
    applied: bool = False


class Drift(NamedTuple):
    """`next`: the command that deals with it."""

    drift: str
    port: Optional[int]
    entry: Optional[str]
    reason: str
    next: Optional[str] = None


class Broken(NamedTuple):
    """A port whose server does not serve as it should, though registry and host agree about it."""

    state: str
    port: int
    entry: Optional[str]
    reason: str
    next: Optional[str] = None


class Plan(NamedTuple):
    actions: Tuple[Action, ...]
    drift: Tuple[Drift, ...]
    broken: Tuple[Broken, ...] = ()

    def to_wire(self) -> Dict[str, List[Dict[str, Any]]]:
        return {key: [one._asdict() for one in rows] for key, rows in self._asdict().items()}


def plan(evidence: Mapping[int, PortEvidence], expected: Mapping[int, Expected]) -> Plan:
    """Clear what is proven gone; report everything else that differs, and every server that is
    broken."""
    actions: List[Action] = []
    drifts: List[Drift] = []
    broken: List[Broken] = []
    for port in sorted(evidence):
        want, seen = expected[port], evidence[port]
        verdict = diagnose(seen, want)
        if want.entries and seen.proven_idle:
            steps = [(e.name, remedy("stale", port, e, want)) for e in want.entries]
            actions += [
                Action(action="clear", entry=name, port=port, reason=verdict.reason, next=step)
                for name, step in steps
            ]
        elif verdict.drift or verdict.state == "unknown":
            drifts.append(_drift(verdict, port, want))
        beside = unreported_strays(seen, verdict)
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
        if verdict.broken and seen.job is None:
            broken.append(
                Broken(
                    state=verdict.state,
                    port=port,
                    entry=want.entry.name if want.entry else None,
                    reason=verdict.reason,
                    next=remedy(verdict.state, port, want.entry, want),
                )
            )
    return Plan(tuple(actions), tuple(drifts), tuple(broken))


def _drift(verdict: Diagnosis, port: int, want: Expected) -> Drift:
    kind = verdict.drift or "unknown"
    entry = want.entry if want.entries or kind == "lost" else None
    return Drift(
        drift=kind,
        port=port,
        entry=entry.name if entry else None,
        reason=verdict.reason,
        next=remedy(kind, port, entry, want),
    )


def lost_drift(port: int, want: Expected) -> Drift:
    """What an entry whose assignment was just cleared is from here on."""
    return _drift(Diagnosis("free", "lost", describe_lost(want)), port, want)


def remedy(kind: str, port: int, entry: Optional[Entry], want: Expected) -> str:
    """The command that deals with it."""
    if entry is None:
        return remedies.command(kind, port, None)
    return remedies.command(kind, port, entry.name, entry.slot, entry.name in want.missing)
