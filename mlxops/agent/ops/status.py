"""status: what the registry says, what is running, and whether it answers, for each port."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional

from ..context import Context
from ..ports import remedies
from ..ports.evidence import PortEvidence
from ..ports.expected import outside_warning, wanted_outside
from ..ports.survey import observe_ports
from ..procs import Procs, Unobservable
from ..registry.entries import Registry
from ..verify.port_report import timeout_of, verify_port
from .port_rows import port_row


def status(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    registry, fault = ctx.store.read_or_empty()
    ports = ctx.ports(args.get("ports"))
    # --deep and --fresh query the servers instead of using answers of the last half minute.
    recall = not (args.get("deep") or args.get("fresh"))
    evidence = observe_ports(ctx, registry, ports, recall)
    rows = [port_row(ctx, registry, evidence[port]) for port in sorted(evidence)]
    rows = [_without_judgement(one) for one in rows] if fault else rows
    if args.get("deep"):
        rows = [
            {**one, **_verified(ctx, registry, evidence[one["port"]], timeout_of(args))}
            for one in rows
        ]
    result = {
        "ports": rows,
        "memory": _memory(ctx.procs),
        "drift": _drift(rows),
        "broken": _broken(rows),
        "warnings": list(map(outside_warning, wanted_outside(registry, ctx.site.ports))),
    }
    return {**result, "error": fault.to_wire()} if fault else result


def _without_judgement(row: Dict[str, Any]) -> Dict[str, Any]:
    """The row if the registry is unreadable: then neither a server without an entry nor a port
    without both is drift."""
    unsure = row["drift"] in ("orphan", "stray", "empty")
    return (
        {**row, "drift": None, "next": None, "reason": "cannot tell what should run here"}
        if unsure
        else row
    )


def _verified(
    ctx: Context, registry: Registry, evidence: PortEvidence, timeout_s: float
) -> Dict[str, Any]:
    """The findings of verify; none for a free port."""
    report = verify_port(
        ctx, registry, evidence, timeout_s, lambda port: observe_ports(ctx, registry, [port])[port]
    ).to_wire()
    row = {key: report[key] for key in ("ok", "first_token_ms", "tokens_per_s", "checks")}
    idle = evidence.proven_idle and not registry.holders(evidence.port)
    return {**dict.fromkeys(row), "checks": []} if idle else row


def _memory(procs: Procs) -> Optional[Dict[str, Any]]:
    try:
        return procs.memory()._asdict()
    except Unobservable:
        return None


def _drift(rows: Iterable[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    drifts = [_report_row("drift", one) for one in rows if one["drift"]]
    return drifts + [_stray_row(one["port"], one["beside"]) for one in rows if one["beside"]]


def _stray_row(port: int, why: str) -> Dict[str, Any]:
    return {
        "drift": "stray",
        "port": port,
        "entry": None,
        "reason": why,
        "next": remedies.command("stray", port, None),
    }


def _broken(rows: Iterable[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Ports whose servers do not work, although registry and host may agree."""
    return [_report_row("state", one) for one in rows if one["broken"]]


def _report_row(kind: str, one: Mapping[str, Any]) -> Dict[str, Any]:
    missed = one["drift"] in ("lost", "held", "duplicate")
    about = one["entry"] or (one["wanted"] if missed else None)
    return {
        kind: one[kind],
        "port": one["port"],
        "entry": about,
        "reason": one["reason"],
        "next": one["next"],
    }
