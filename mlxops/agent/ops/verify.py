"""verify: test servers with real requests, and check that entries could be started."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping

from ..context import Context
from ..errors import mlxops_command
from ..load.acceptance import Acceptance
from ..load.presence import describe_faults
from ..ports.evidence import PortEvidence
from ..ports.survey import observe_ports
from ..registry.entries import Entry, Registry
from ..verify.port_report import timeout_of, verify_port
from .port_rows import port_row


def verify(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Test one port after another: two tests at once would distort the measured times."""
    registry, numbers = ctx.store.read(), args.get("ports")
    evidence = observe_ports(ctx, registry, ctx.ports(numbers))
    ports = [
        port for port in sorted(evidence) if numbers or _has_evidence(registry, evidence[port])
    ]
    entries = _entries_of(registry, ports) if numbers else registry.entries.values()
    rows = _entry_rows(ctx, entries)
    return {
        "ports": [_row(ctx, registry, evidence[port], timeout_of(args)) for port in ports],
        "entries": rows,
    }


def _has_evidence(registry: Registry, evidence: PortEvidence) -> bool:
    signs = (
        evidence.listeners,
        evidence.servers,
        evidence.recorded,
        evidence.orphan_workers,
        evidence.other_hosts,
        evidence.unknown,
        evidence.job,
        evidence.interrupted_load,
    )
    return bool(
        registry.holders(evidence.port)
        or evidence.answer.reached
        or evidence.foreign_processes
        or any(signs)
    )


def _row(
    ctx: Context, registry: Registry, evidence: PortEvidence, timeout_s: float
) -> Dict[str, Any]:
    def observe(port: int) -> PortEvidence:
        return observe_ports(ctx, registry, [port])[port]

    ctx.client.check()
    row = port_row(ctx, registry, evidence)
    report = verify_port(ctx, registry, evidence, timeout_s, observe).to_wire()
    return {
        **{key: row[key] for key in ("port", "entry", "state", "drift")},
        **report,
        "served_model": report["served_model"] or row["served_model"],
    }


def _entries_of(registry: Registry, ports: Iterable[int]) -> List[Entry]:
    return [entry for port in ports for entry in registry.holders(port)]


def _entry_rows(ctx: Context, entries: Iterable[Entry]) -> List[Dict[str, Any]]:
    refused = Acceptance(ctx)
    rows = []
    for entry in entries:
        # Without its files, what kind of model it is cannot be told.
        damage = entry.cache_path and describe_faults(entry.cache_path, ctx.site.state_dir)
        why = [damage] if damage else refused.reasons(entry)
        fix = mlxops_command("show", entry.name) if damage else refused.fix(entry) if why else None
        for one in () if why else refused.cautions(entry):
            ctx.client.emit("warning", message="%s: %s" % (entry.name, one.note))
        rows.append({"entry": entry.name, "ok": not why, "reasons": why, "next": fix})
    return rows
