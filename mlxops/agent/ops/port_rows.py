"""The row of a port in results, what follows from all rows, and what else is known of the host."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ..context import Context
from ..jobs.begin import running_jobs
from ..jobs.job import logs_folder
from ..jobs.log import read_jobs
from ..ports import remedies
from ..ports.diagnosis import Diagnosis, diagnose, unreported_strays
from ..ports.evidence import Expected, Loss, PortEvidence
from ..ports.expected import expected, server_end, wanted_since
from ..ports.reconcile_plan import remedy
from ..ports.survey import observe_ports
from ..procs import Procs, Unobservable
from ..registry.entries import Entry, Registry
from ..servers.startup_time import last_start_s


def port_row(ctx: Context, registry: Registry, seen: PortEvidence) -> Dict[str, Any]:
    want = expected(ctx, registry, seen.port)
    verdict = diagnose(seen, want)
    trouble = verdict.drift or (verdict.state if verdict.broken else None)
    server = seen.server
    process = server.process if server else seen.recorded
    since, by = wanted_since(registry, seen.port)
    loss = _loss(ctx, want, verdict)
    return {
        "port": seen.port,
        "slot_name": ctx.site.slot_name(seen.port),
        "entry": want.entries[0].name if want.entries else None,
        "wanted": want.lost[0].name if want.lost else None,
        "state": verdict.state,
        "drift": verdict.drift,
        "wanted_since": since,
        "wanted_by": by,
        "gone": loss.to_wire() if loss else None,
        "pid": process.pid if process else None,
        "served_model": _served(seen),
        "rss_bytes": ctx.procs.footprint(server.processes) if server else None,
        "uptime_s": _uptime(process.started_at) if process else None,
        "latency_ms": seen.answer.latency_ms,
        "load_s": _load_s(ctx, want.entry),
        "runtime": server.invocation.runtime.name if server else None,
        **seen.other_hosts.to_wire(),
        "strays": [
            {"pid": s.process.pid, "model": s.invocation.model, "rss_bytes": s.held_bytes}
            for s in seen.strays
        ],
        "job": dict(seen.job) if seen.job else None,
        "reason": verdict.reason,
        "beside": unreported_strays(seen, verdict) or None,
        "broken": verdict.broken and seen.job is None,
        "next": remedy(trouble, seen.port, want.entry, want) if trouble else None,
    }


def host_figures(ctx: Context) -> Dict[str, Any]:
    """Every port's row, the memory, and how many jobs ended in which way."""
    registry = ctx.store.read()
    evidence = observe_ports(ctx, registry, ctx.site.ports, use_cache=True)
    return {
        "ports": [port_row(ctx, registry, evidence[port]) for port in sorted(evidence)],
        "memory": memory_row(ctx.procs),
        "jobs": job_counts(ctx),
    }


def job_counts(ctx: Context) -> Dict[str, int]:
    """State -> the number of jobs on record."""
    counts: Dict[str, int] = {}
    for job in read_jobs(logs_folder(ctx.site.state_dir), running_jobs(ctx)):
        counts[job.state] = counts.get(job.state, 0) + 1
    return counts


def _load_s(ctx: Context, entry: Optional[Entry]) -> Optional[float]:
    """Seconds of the entry's last start; None without one, or if its runtime is unknown."""
    if entry is None:
        return None
    runtime = ctx.site.runtimes.get(entry.text("runtime") or ctx.site.runtime)
    return last_start_s(entry, runtime) if runtime else None


def _loss(ctx: Context, want: Expected, verdict: Diagnosis) -> Optional[Loss]:
    """How the server ended that the port misses."""
    if verdict.drift == "stale" and want.entries[0].process:
        return server_end(ctx.procs, want.entries[0].process)
    return want.loss if verdict.drift == "lost" else None


def _served(evidence: PortEvidence) -> Optional[str]:
    """The name that clients must use. mlx_lm.server's /v1/models lists the whole cache, so its
    fixed name is used."""
    if evidence.answer.health is None:
        return None
    client_model = evidence.server.invocation.runtime.client_model if evidence.server else None
    return client_model or (evidence.answer.models[0] if evidence.answer.models else None)


def _uptime(started_at: Optional[float]) -> Optional[float]:
    return None if started_at is None else round(max(0.0, time.time() - started_at), 1)


def memory_row(procs: Procs) -> Optional[Dict[str, Any]]:
    try:
        return procs.memory()._asdict()
    except Unobservable:
        return None


def without_judgement(row: Dict[str, Any]) -> Dict[str, Any]:
    """The row if the registry is unreadable: then neither a server without an entry nor a port
    without both is drift."""
    unsure = row["drift"] in ("orphan", "stray", "empty")
    return (
        {**row, "drift": None, "next": None, "reason": "cannot tell what should run here"}
        if unsure
        else row
    )


def drift_rows(rows: Iterable[Mapping[str, Any]]) -> List[Dict[str, Any]]:
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


def broken_rows(rows: Iterable[Mapping[str, Any]]) -> List[Dict[str, Any]]:
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
