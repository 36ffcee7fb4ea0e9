"""What is on the ports: lost models, servers that hang or are broken, and every other drift."""

from __future__ import annotations

from functools import partial
from typing import Iterator, Optional, Tuple

from ..context import Context
from ..jobs.begin import current_job, interrupted_load
from ..ports.expected import expected
from ..ports.observe import observe
from ..ports.plan import Plan, plan
from .finding import ERROR, OK, UNKNOWN, Finding

# Checks of their own tell these, with the process or the entries.
ELSEWHERE = ("foreign", "duplicate")
# What it is, port, entry, reason, next command.
Row = Tuple[str, Optional[int], Optional[str], str, Optional[str]]


def ports(ctx: Context) -> Iterator[Finding]:
    registry, numbers = ctx.store.read(), ctx.site.ports
    seen = observe(
        ctx.procs,
        registry,
        numbers,
        ctx.site,
        partial(current_job, ctx),
        ctx.client.check,
    )
    evidence = {
        port: one._replace(interrupted_load=interrupted_load(ctx, port))
        for port, one in seen.items()
    }
    found = plan(evidence, {port: expected(ctx, registry, port) for port in numbers})
    rows = [
        row
        for row in _rows(found)
        if row[0] not in ELSEWHERE and len(registry.holders(row[1] or 0)) < 2
    ]
    for kind, port, entry, reason, step in rows:
        verdict = UNKNOWN if kind == "unknown" else ERROR
        about = " (%s)" % entry if entry else ""
        yield Finding("ports", verdict, "%s %s%s: %s" % (port, kind, about, reason), step or "")
    if not rows:
        yield Finding("ports", OK, "%d ports, all as the registry says" % len(evidence))


def _rows(found: Plan) -> Iterator[Row]:
    yield from (("stale", one.port, one.entry, one.reason, one.next) for one in found.actions)
    yield from ((one.drift, one.port, one.entry, one.reason, one.next) for one in found.drift)
    yield from ((one.state, one.port, one.entry, one.reason, one.next) for one in found.broken)
