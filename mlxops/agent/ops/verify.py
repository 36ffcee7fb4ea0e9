"""verify: test servers with real requests, and check that entries could be started."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping

from ..context import Context
from ..load.acceptance import Acceptance
from ..ports.evidence import PortEvidence
from ..ports.survey import observe_ports
from ..registry.entries import Entry, Registry
from ..verify.port_report import timeout_of, verify_port
from .rows import port_row


def verify(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Test one port after another: two tests at once would distort the measured times."""
    registry, asked = ctx.store.read(), args.get("ports")
    evidence = observe_ports(ctx, registry, ctx.ports(asked))
    ports = [port for port in sorted(evidence) if asked or _has_evidence(registry, evidence[port])]
    entries = _entries_of(registry, ports) if asked else registry.entries.values()
    found = _entry_rows(ctx, entries)
    return {
        "ports": [_row(ctx, registry, evidence[port], timeout_of(args)) for port in ports],
        "entries": found,
    }


def _has_evidence(registry: Registry, seen: PortEvidence) -> bool:
    signs = (
        seen.listeners,
        seen.servers,
        seen.recorded,
        seen.orphan_workers,
        seen.other_hosts,
        seen.unknown,
        seen.job,
        seen.interrupted_load,
    )
    return bool(
        registry.holders(seen.port) or seen.answer.reached or seen.foreign_processes or any(signs)
    )


def _row(ctx: Context, registry: Registry, seen: PortEvidence, timeout_s: float) -> Dict[str, Any]:
    def again(port: int) -> PortEvidence:
        return observe_ports(ctx, registry, [port])[port]

    ctx.client.check()
    row = port_row(ctx, registry, seen)
    found = verify_port(ctx, registry, seen, timeout_s, again).to_wire()
    return {
        **{key: row[key] for key in ("port", "entry", "state")},
        **found,
        "served_model": found["served_model"] or row["served_model"],
    }


def _entries_of(registry: Registry, ports: Iterable[int]) -> List[Entry]:
    return [entry for port in ports for entry in registry.holders(port)]


def _entry_rows(ctx: Context, entries: Iterable[Entry]) -> List[Dict[str, Any]]:
    refused = Acceptance(ctx)
    reasons = {entry.name: refused.reasons(entry) for entry in entries}
    return [{"entry": name, "ok": not why, "reasons": why} for name, why in reasons.items()]
