"""What a plan needs to know of models, memory and disk: load's own checks, and what is in use."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Dict, Optional, Union

from ..context import Context
from ..errors import Interrupted, MlxopsError, NotEnoughDisk, free_bytes, to_mlxops_error
from ..hub.checks import SPARE_BYTES, format_size
from ..memory.fit import memory_use
from ..ports.expected import expected
from ..ports.probe import call_all
from ..procs import Unobservable
from ..registry.entries import Registry
from ..registry.store import Store
from ..servers.startup_time import estimate_startup
from .judge import LOADS
from .plan import Check, Plan, Row, Sizes
from .steps import load_arguments

if TYPE_CHECKING:
    from ..load.request import LoadPlan
    from ..load.startable import StartedPrograms

# Checks start programs and ask the Hub: enough of them at once to overlap their waits.
MAX_CHECKS_AT_ONCE = 4


class PlannedRegistry(Store):
    """A store that only reads: the registry as it will be when a step begins."""

    def __init__(self, path: str, registry: Registry) -> None:
        super().__init__(path, {})
        self._registry = registry

    def read(self) -> Registry:
        return self._registry


def measure(ctx: Context, registry: Registry) -> Sizes:
    """The memory in use, and what is known of each port; no checks yet."""
    ports = {port: expected(ctx, registry, port) for port in ctx.site.ports}
    try:
        use = memory_use(ctx)
    except Unobservable:
        return Sizes(expected=ports)
    return Sizes(used_by_port=use.by_port, limit_bytes=use.limit, expected=ports)


def check_loads(ctx: Context, registry: Registry, draft: Plan) -> Dict[int, Check]:
    """port -> load's own checks, for every load of the draft; none of them has begun."""
    loads = {row.port: row for row in draft.rows if row.verdict in LOADS}
    if not loads:
        return {}
    # On a host that is as planned, this import would take longer than the rest of the plan.
    from ..load.startable import StartedPrograms

    calls = {port: partial(_preflight, ctx, registry, row) for port, row in loads.items()}
    programs = StartedPrograms(ctx)
    outcomes = call_all(calls, MAX_CHECKS_AT_ONCE)
    return {port: _check(ctx, outcome, programs) for port, outcome in outcomes.items()}


def _preflight(ctx: Context, registry: Registry, row: Row) -> Union[LoadPlan, MlxopsError]:
    """Load's checks, as if the entry had left the port where it is now."""
    from ..load.preflight import plan_load
    from ..load.request import LoadRequest

    mover = registry.entries.get(row.entry or "")
    now = registry
    if mover is not None and mover.port != row.port:
        now = registry.put(mover.with_fields(port=None, process=None))
    later = ctx._replace(store=PlannedRegistry(ctx.store.path, now))
    asked = {**load_arguments(registry, row), "download": True, "dry_run": True}
    try:
        return plan_load(later, LoadRequest.from_wire(asked), own_lock=False)
    except Interrupted:
        raise
    except Exception as exc:  # blocks this port only
        return to_mlxops_error(exc)


def _check(ctx: Context, outcome: Union[LoadPlan, MlxopsError], programs: StartedPrograms) -> Check:
    from ..load import startable

    if isinstance(outcome, MlxopsError):
        return Check(error=outcome)
    try:
        plan = startable.check_programs(ctx, outcome, programs)
    except Interrupted:
        raise
    except MlxopsError as exc:
        return Check(error=exc)
    return Check(
        entry=plan.entry.name,
        need_bytes=plan.fit.sum.need_bytes if plan.fit else None,
        download_bytes=plan.remote.missing_bytes if plan.remote else 0,
        usual_start_s=estimate_startup(plan.entry, plan.runtime, None, None).expected_s,
        error=startable.refusal(ctx, plan),
    )


def downloads(plan: Plan) -> int:
    """The bytes to download for all ports."""
    return sum(row.download_bytes for row in plan.rows if row.verdict in LOADS)


def disk_error(ctx: Context, plan: Plan) -> Optional[NotEnoughDisk]:
    """NotEnoughDisk with what each port needs; None if the disk has space for all, or if unknown.
    Each alone fits, by the checks of its load."""
    total = downloads(plan)
    place = os.path.abspath(ctx.site.cache_root)
    free = free_bytes(place)
    if not total or free is None or free >= total + SPARE_BYTES:
        return None
    lines = [
        "port %d: %s, %s" % (row.port, row.entry, format_size(row.download_bytes))
        for row in plan.rows
        if row.verdict in LOADS and row.download_bytes
    ]
    text = "the downloads need %s and %s must stay free, but %s has %s: %s"
    sizes = (format_size(total), format_size(SPARE_BYTES), place, format_size(free))
    return NotEnoughDisk(
        text % (*sizes, "; ".join(lines)),
        "mlxops disk shows what can be removed",
        needed_bytes=total + SPARE_BYTES,
        free_bytes=free,
        path=place,
    )
