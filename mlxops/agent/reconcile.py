"""The plan that makes the registry true again, and the drift it leaves to people. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from .evidence import PortEvidence
from .judge import Wanted, judge


class Action(NamedTuple):
    """One change to the registry: `clear` takes the port of an entry away."""

    action: str
    entry: str
    port: Optional[int]
    reason: str
    applied: bool = False


class Drift(NamedTuple):
    drift: str
    port: Optional[int]
    entry: Optional[str]
    reason: str


class Plan(NamedTuple):
    actions: Tuple[Action, ...]
    drift: Tuple[Drift, ...]

    def to_wire(self) -> Dict[str, List[Dict[str, Any]]]:
        return {"actions": [a._asdict() for a in self.actions], "drift": [d._asdict() for d in self.drift]}


def plan(evidence: Mapping[int, PortEvidence], wants: Mapping[int, Wanted]) -> Plan:
    """Clear what is proven gone; report everything else that differs."""
    actions: List[Action] = []
    drifts: List[Drift] = []
    for port in sorted(evidence):
        verdict = judge(evidence[port], wants[port])
        entries = wants[port].entries
        if entries and evidence[port].quiet:
            actions += [Action("clear", e.name, port, verdict.reason) for e in entries]
        elif verdict.drift or verdict.state == "unknown":
            drifts.append(Drift(verdict.drift or "unknown", port, entries[0].name if entries else None, verdict.reason))
    return Plan(tuple(actions), tuple(drifts))
