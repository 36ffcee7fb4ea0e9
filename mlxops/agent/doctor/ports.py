"""Checks of the ports: lost models, servers that hang or are broken, all other differences, and the
names that clients ask for."""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

from ..context import Context
from ..errors import MlxopsError
from ..ports.expected import expected
from ..ports.reconcile_plan import ReconcilePlan, plan_reconcile
from ..ports.survey import observe_ports
from ..registry.entries import Entry
from ..wire.slots import no_slot_warning, slot_warnings
from .finding import ERROR, OK, UNKNOWN, WARNING, Finding

# Other checks report these, with the process or the entries.
ELSEWHERE = ("foreign", "duplicate")
SLOTS_HINT = "edit the tables [slots.PORT] of the host file"
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


def slots(ctx: Context) -> Iterator[Finding]:
    """Check that no two slots conflict, and that no swap changes the name a port answers to."""
    warnings = [*slot_warnings(ctx.site.raw.get("slots", {})), *_ports_without_slot(ctx)]
    yield from (Finding("slots", WARNING, text, SLOTS_HINT) for text in warnings)
    if not warnings:
        yield Finding("slots", OK, "%d slots without conflicts" % len(ctx.site.slots))


def _ports_without_slot(ctx: Context) -> Iterator[str]:
    """A warning for each model on a port without a slot; none if the registry cannot be read, which
    the check of the registry reports."""
    try:
        entries = ctx.store.read().entries.values()
    except (MlxopsError, OSError):
        return
    for entry in entries:
        port = entry.port or entry.wanted
        if port in ctx.site.ports and port not in ctx.site.slots and _is_named(ctx, entry):
            yield no_slot_warning(port, entry.name)


def _is_named(ctx: Context, entry: Entry) -> bool:
    """Whether the entry's servers answer to the name of their slot. The check of entries reports an
    unknown runtime."""
    runtime = ctx.site.runtimes.get(entry.text("runtime") or ctx.site.runtime)
    return runtime is not None and runtime.client_model is None
