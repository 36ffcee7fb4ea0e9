"""Checks of the ports: lost models, servers that hang or are broken, and all other differences."""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

from ..context import Context
from ..ports.expected import expected
from ..ports.reconcile_plan import ReconcilePlan, plan_reconcile
from ..ports.survey import observe_ports
from .finding import ERROR, OK, UNKNOWN, Finding

# Other checks report these, with the process or the entries.
ELSEWHERE = ("foreign", "duplicate")
# What it is, port, entry, reason, next command.
Row = Tuple[str, Optional[int], Optional[str], str, Optional[str]]


def ports(ctx: Context) -> Iterator[Finding]:
    registry, numbers = ctx.store.read(), ctx.site.ports
    evidence = observe_ports(ctx, registry, numbers)
    port_plan = plan_reconcile(evidence, {port: expected(ctx, registry, port) for port in numbers})
    rows = [
        row
        for row in _rows(port_plan)
        if row[0] not in ELSEWHERE and len(registry.holders(row[1] or 0)) < 2
    ]
    for kind, port, entry, reason, step in rows:
        verdict = UNKNOWN if kind == "unknown" else ERROR
        about = " (%s)" % entry if entry else ""
        yield Finding("ports", verdict, "%s %s%s: %s" % (port, kind, about, reason), step or "")
    if not rows:
        yield Finding("ports", OK, "%d ports, all as in the registry" % len(evidence))


def _rows(port_plan: ReconcilePlan) -> Iterator[Row]:
    yield from (("stale", one.port, one.entry, one.reason, one.next) for one in port_plan.actions)
    yield from ((one.drift, one.port, one.entry, one.reason, one.next) for one in port_plan.drift)
    yield from ((one.state, one.port, one.entry, one.reason, one.next) for one in port_plan.broken)
