"""Models that move between ports: where each is now, and whether the plan frees it. Pure."""

from __future__ import annotations

from typing import Dict, Mapping, Tuple

from ..errors import mlxops_command
from .intent import Target
from .judge import Occupant, Verdict, blocked

Homes = Mapping[int, Tuple[int, ...]]


def find_homes(there: Mapping[int, Occupant], targets: Mapping[int, Target]) -> Homes:
    """port -> the other ports where its target is assigned or served."""
    return {port: _homes(there, port, target) for port, target in targets.items()}


def _homes(there: Mapping[int, Occupant], port: int, target: Target) -> Tuple[int, ...]:
    ports = {p for p, occupant in there.items() if occupant.holds(target)}
    if target.entry is not None and target.entry.port is not None:
        ports.add(target.entry.port)
    return tuple(sorted(ports - {port}))


def block_held_models(
    verdicts: Mapping[int, Verdict],
    homes: Homes,
    there: Mapping[int, Occupant],
    targets: Mapping[int, Target],
) -> Dict[int, Verdict]:
    """The verdicts, with those blocked whose model is on a port that no step frees. A port that is
    blocked frees nothing either."""
    result = dict(verdicts)
    for port, verdict in verdicts.items():
        kept = [p for p in homes[port] if p not in verdicts or not verdicts[p].is_step]
        if verdict.is_step and kept and targets[port].source:
            result[port] = _elsewhere(targets, port, kept[0], verdicts, there)
    same = all(result[port] == verdicts[port] for port in verdicts)
    return result if same else block_held_models(result, homes, there, targets)


def _elsewhere(
    targets: Mapping[int, Target],
    port: int,
    home: int,
    verdicts: Mapping[int, Verdict],
    there: Mapping[int, Occupant],
) -> Verdict:
    model, verdict = targets[port].model, verdicts.get(home)
    if home not in there:
        text, hint = "which is not a port of this host", mlxops_command("show", model)
    elif there[home].evidence.proven_idle:
        text, hint = "where its server is gone", mlxops_command("reconcile")
    elif verdict is None:
        text = "which is not a port of this plan"
        prune = () if targets[home].source else ("--prune",)
        hint = mlxops_command("apply", home, port, *prune)
    elif verdict.kind:
        text, hint = "which is blocked: %s" % verdict.reason, verdict.hint
    else:
        text = "which the plan leaves alone"
        hint = mlxops_command("apply", home, port, "--prune") + " unloads it there"
    return blocked("ModelElsewhere", "%s is on port %d, %s" % (model, home, text), hint)
