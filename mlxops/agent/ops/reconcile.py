"""reconcile: clear assignments whose servers are proven gone; report all other drift. With
`restart`, start those servers again."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterable, List, Mapping, Set, Tuple

from ..context import Context
from ..errors import Locked
from ..history.samples import sample_all
from ..jobs.begin import begin, hold_briefly
from ..logs.size import large_logs, port_of_log, truncate
from ..ports import remedies
from ..ports.evidence import PortEvidence
from ..ports.expected import expected, server_end
from ..ports.reconcile_plan import Action, Drift, ReconcilePlan, cleared_drift, plan_reconcile
from ..ports.survey import observe_ports
from ..registry.entries import Registry
from ..servers.unrecorded import record_unrecorded
from ..slots.supervise import Restart, restart_lost
from .port_rows import host_figures


def reconcile(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    dry = bool(args.get("dry_run"))
    noted = record_unrecorded(ctx, ctx.site.ports, dry)
    registry = ctx.store.read()
    evidence = _observe(ctx, registry)
    port_plan = _plan(ctx, registry, evidence)
    if not dry:
        sample_all(ctx, registry, evidence)
        truncate_logs(ctx)
        applied = tuple(_apply(ctx, action) for action in port_plan.actions)
        port_plan = port_plan._replace(
            actions=applied, drift=_with_lost(ctx, port_plan, applied, ctx.store.read())
        )
    restarts = restart_lost(ctx, _gone(port_plan), dry) if args.get("restart") else None
    if restarts:
        port_plan = _with_restarts(ctx, port_plan, restarts)
    result: Dict[str, Any] = port_plan.to_wire()
    result["actions"] = [*noted, *result["actions"], *_start_actions(restarts or (), dry)]
    if restarts is not None:
        result["restarts"] = [r.to_wire() for r in restarts]
    return {**result, **host_figures(ctx)} if args.get("metrics") else result


def _gone(port_plan: ReconcilePlan) -> Set[int]:
    """The ports that may want a server that is proven gone. In a dry run also those that would be
    cleared."""
    missed = {row.port for row in port_plan.drift if row.drift in ("lost", "held")}
    cleared = {action.port for action in port_plan.actions if not action.applied}
    return {port for port in missed | cleared if port is not None}


def _with_restarts(
    ctx: Context, port_plan: ReconcilePlan, restarts: Tuple[Restart, ...]
) -> ReconcilePlan:
    """The plan without the drift that the starts have ended, and with what is known of the others
    now."""
    started = {row.port for row in restarts if row.started}
    now = ctx.store.read()
    tried = [row.port for row in restarts if row.recorded and not row.started]
    missed = (cleared_drift(port, expected(ctx, now, port)) for port in tried)
    still = {row.port: row for row in missed if row is not None}
    # What was started again needs no command.
    actions = (a._replace(next="") if a.port in started else a for a in port_plan.actions)
    drift = (still.get(d.port or 0, d) for d in port_plan.drift if d.port not in started)
    return port_plan._replace(actions=tuple(actions), drift=tuple(drift))


def _start_actions(restarts: Iterable[Restart], dry: bool) -> List[Dict[str, Any]]:
    """What was started, or would be; and what could not even be tried, which no drift says."""
    return [
        Action(
            action="start",
            entry=row.entry,
            port=row.port,
            reason=row.reason,
            next="" if row.started or dry else remedies.command("lost", row.port, row.entry),
            applied=row.started,
        )._asdict()
        for row in restarts
        if row.started or row.verdict == "start" or (row.untried and not dry)
    ]


def truncate_logs(ctx: Context) -> None:
    """Truncate the logs that grew too large, under their ports' locks; skip locked ports."""
    for path, size in large_logs(ctx.site.state_dir):
        port = port_of_log(path)
        with contextlib.suppress(OSError, Locked):
            with (
                hold_briefly(ctx, port, "truncate the log of port %d" % port)
                if port
                else contextlib.nullcontext()
            ):
                cut = truncate(path)
            if cut is not None:
                message = "the log %s held %d MiB; the last %d KiB are kept" % (
                    path,
                    size >> 20,
                    cut.kept >> 10,
                )
                ctx.client.emit("phase", phase="logs", message=message)


def _with_lost(
    ctx: Context, port_plan: ReconcilePlan, applied: Tuple[Action, ...], now: Registry
) -> Tuple[Drift, ...]:
    """The remaining drift: a cleared entry is now lost."""
    cleared = {action.port for action in applied if action.applied}
    lost = (cleared_drift(port, expected(ctx, now, port)) for port in cleared)
    return tuple(sorted([*port_plan.drift, *filter(None, lost)], key=lambda row: row.port or 0))


def _observe(ctx: Context, registry: Registry) -> Dict[int, PortEvidence]:
    ports = {
        *ctx.site.ports,
        *(e.port for e in registry.entries.values() if e.port is not None),
    }
    return observe_ports(ctx, registry, sorted(ports))


def _plan(ctx: Context, registry: Registry, evidence: Mapping[int, PortEvidence]) -> ReconcilePlan:
    return plan_reconcile(evidence, {port: expected(ctx, registry, port) for port in evidence})


def _apply(ctx: Context, action: Action) -> Action:
    """Observe again under the port's lock; clear only what is still proven gone."""
    try:
        with begin(ctx, action.port, "reconcile", settles=False):
            return action._replace(applied=clear_if_gone(ctx, action.port, action.entry))
    except Locked as exc:
        return action._replace(reason="not changed: " + exc.message)


def clear_if_gone(ctx: Context, port: int, name: str) -> bool:
    """Clear one assignment if it is proven again that nothing serves it; needs the port's lock."""
    registry = ctx.store.read()
    evidence = observe_unlocked(ctx, registry, port)
    entry = registry.entries.get(name)
    if (
        entry is None
        or entry.port != port
        or not evidence.proven_idle
        or not ctx.procs.free(port, ctx.site.bind)
    ):
        return False

    end = server_end(ctx.procs, entry.process or {})
    gone = {"gone": end.how, "gone_at": end.at}

    def clear(now: Registry) -> Registry:
        same = now.entries.get(name)
        return now.miss(port, name, gone) if same == entry and same else now

    after = ctx.store.edit("reconcile: %s on %d is gone" % (name, port), clear)
    return after.entries[name].port is None


def observe_unlocked(ctx: Context, registry: Registry, port: int) -> PortEvidence:
    """The evidence for the holder of the port's lock: there is no other job."""
    return observe_ports(ctx, registry, [port])[port]._replace(job=None)
