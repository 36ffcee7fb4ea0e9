"""status: registry, processes and HTTP answers side by side."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ..context import Command
from ..ports import remedies
from ..ports.evidence import PortEvidence
from ..ports.expected import wanted
from ..ports.observe import observe
from ..ports.plan import remedy
from ..ports.verdict import judge, stray_beside
from ..procs import Procs, Unseen
from ..registry.entries import Registry
from ..verify.examine import examine, seconds


def status(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    registry, fault = command.store.glance()
    ports = command.ports(args.get("ports"))
    # Whoever checks, or puts servers to the proof, wants to know how it is, not how it was half a minute ago.
    recall = not (args.get("deep") or args.get("fresh"))
    evidence = look(command, registry, ports, recall)
    rows = [row(command, registry, evidence[port]) for port in sorted(evidence)]
    rows = [_unjudged(one) for one in rows] if fault else rows
    if args.get("deep"):
        rows = [{**one, **_proven(command, registry, evidence[one["port"]], seconds(args))} for one in rows]
    found = {"ports": rows, "memory": _memory(command.procs), "drift": _drift(rows), "broken": _broken(rows)}
    return {**found, "error": fault.to_wire()} if fault else found


def _unjudged(told: Dict[str, Any]) -> Dict[str, Any]:
    """A row as it is where the registry cannot be read: that no entry is known of a server says nothing then."""
    unsure = told["drift"] in ("orphan", "stray")
    return {**told, "drift": None, "next": None, "reason": "the registry cannot be read"} if unsure else told


def _proven(command: Command, registry: Registry, seen: PortEvidence, timeout_s: float) -> Dict[str, Any]:
    """What verify finds; nothing for a port that is free."""
    found = examine(command, registry, seen, timeout_s, lambda port: look(command, registry, [port])[port]).to_wire()
    told = {key: found[key] for key in ("ok", "first_token_ms", "tokens_per_s", "checks")}
    idle = seen.quiet and not registry.holders(seen.port)
    return {**dict.fromkeys(told), "checks": []} if idle else told


def look(
    command: Command, registry: Registry, ports: Iterable[int], recall: bool = False
) -> Dict[int, PortEvidence]:
    seen = observe(command.procs, registry, ports, command.site, command.job_of, command.client.check, recall)
    return {port: one._replace(cut=command.cut_off(port)) for port, one in seen.items()}


def row(command: Command, registry: Registry, seen: PortEvidence) -> Dict[str, Any]:
    want = wanted(command, registry, seen.port)
    verdict = judge(seen, want)
    trouble = verdict.drift or (verdict.state if verdict.broken else None)
    server = seen.server
    process = server.process if server else seen.recorded
    return {
        "port": seen.port,
        "slot_name": command.site.slot_name(seen.port),
        "entry": want.entries[0].name if want.entries else None,
        "wanted": want.lost[0].name if want.lost else None,
        "state": verdict.state,
        "drift": verdict.drift,
        "pid": process.pid if process else None,
        "served_model": _served(seen),
        "rss_bytes": command.procs.footprint(server.family) if server else None,
        "uptime_s": _uptime(process.started_at) if process else None,
        "latency_ms": seen.answer.latency_ms,
        "runtime": server.invocation.runtime.name if server else None,
        "ranks": [{"host": s.rank.host, "pid": s.rank.pid, "alive": s.alive} for s in seen.ranks] or None,
        "strays": [{"pid": s.process.pid, "model": s.invocation.model, "rss_bytes": s.held_bytes} for s in seen.strays],
        "job": dict(seen.job) if seen.job else None,
        "reason": verdict.reason,
        "beside": stray_beside(seen, verdict) or None,
        "broken": verdict.broken and seen.job is None,
        "next": remedy(trouble, seen.port, want.entry, want) if trouble else None,
    }


def _served(seen: PortEvidence) -> Optional[str]:
    """The name clients must use; of mlx_lm.server, whose /v1/models lists the whole cache, the only safe one."""
    if seen.answer.health is None:
        return None
    client_model = seen.server.invocation.runtime.client_model if seen.server else None
    return client_model or (seen.answer.models[0] if seen.answer.models else None)


def _uptime(started_at: Optional[float]) -> Optional[float]:
    return None if started_at is None else round(max(0.0, time.time() - started_at), 1)


def _memory(procs: Procs) -> Optional[Dict[str, Any]]:
    try:
        return procs.memory()._asdict()
    except Unseen:
        return None


def _drift(rows: Iterable[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    found = [_told("drift", one) for one in rows if one["drift"]]
    return found + [_stray(one["port"], one["beside"]) for one in rows if one["beside"]]


def _stray(port: int, why: str) -> Dict[str, Any]:
    return {"drift": "stray", "port": port, "entry": None, "reason": why, "next": remedies.command("stray", port, None)}


def _broken(rows: Iterable[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Ports whose servers do not serve as they should, though registry and host may agree."""
    return [_told("state", one) for one in rows if one["broken"]]


def _told(kind: str, one: Mapping[str, Any]) -> Dict[str, Any]:
    about = one["entry"] or (one["wanted"] if one["drift"] == "lost" else None)
    return {kind: one[kind], "port": one["port"], "entry": about, "reason": one["reason"], "next": one["next"]}
