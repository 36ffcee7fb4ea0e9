"""status: what the registry says, what is running, and whether it answers, for each port."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from ..context import Context
from ..ports.evidence import PortEvidence
from ..ports.expected import edit_warnings, outside_warning, wanted_outside
from ..ports.portname import namesakes
from ..ports.survey import observe_ports
from ..registry.entries import Registry
from .port_rows import (
    broken_rows,
    drift_rows,
    job_counts,
    memory_row,
    port_row,
    without_judgement,
)


def status(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    registry, fault = ctx.store.read_or_empty()
    ports = ctx.ports(args.get("ports"))
    # --deep and --fresh query the servers instead of using answers of the last half minute.
    recall = not (args.get("deep") or args.get("fresh"))
    evidence = observe_ports(ctx, registry, ports, recall)
    rows = [port_row(ctx, registry, evidence[port]) for port in sorted(evidence)]
    rows = [without_judgement(one) for one in rows] if fault else rows
    if args.get("deep"):
        rows = [{**one, **_verified(ctx, registry, evidence[one["port"]], args)} for one in rows]
    result = {
        "ports": rows,
        "memory": memory_row(ctx.procs),
        **({"jobs": job_counts(ctx)} if args.get("metrics") else {}),
        "drift": drift_rows(rows),
        "broken": broken_rows(rows),
        "warnings": _warnings(ctx, registry),
    }
    return {**result, "error": fault.to_wire()} if fault else result


def _warnings(ctx: Context, registry: Registry) -> List[str]:
    outside = map(outside_warning, wanted_outside(registry, ctx.site.ports))
    two_meanings = (one for one in namesakes(ctx.site, registry) if one.ambiguous)
    return [*outside, *edit_warnings(registry), *(one.warning for one in two_meanings)]


def _verified(
    ctx: Context, registry: Registry, evidence: PortEvidence, args: Mapping[str, Any]
) -> Dict[str, Any]:
    """The findings of verify; none for a free port."""
    # A status without --deep does not pay for these imports.
    from ..verify.port_report import timeout_of, verify_port

    def observe(port: int) -> PortEvidence:
        return observe_ports(ctx, registry, [port])[port]

    report = verify_port(ctx, registry, evidence, timeout_of(args), observe).to_wire()
    row = {key: report[key] for key in ("ok", "first_token_ms", "tokens_per_s", "checks")}
    idle = evidence.proven_idle and not registry.holders(evidence.port)
    return {**dict.fromkeys(row), "checks": []} if idle else row
