"""Make the plan of a host: look at its ports, check each load, plan."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from ..context import Context
from ..ports.survey import observe_ports
from ..registry.entries import Registry
from .intent import PlanOptions
from .plan import Plan, Sizes, plan
from .sizes import check_loads, disk_error, measure


class PreparedPlan(NamedTuple):
    """A plan, and what it was made from."""

    plan: Plan
    registry: Registry
    sizes: Sizes


def prepare(ctx: Context, options: PlanOptions) -> PreparedPlan:
    """The plan for the ports of `options`. All ports of the host are looked at, and only the loads
    of the plan are checked."""
    registry = ctx.store.read()
    evidence = observe_ports(ctx, registry, ctx.site.ports, use_cache=True)
    sizes = measure(ctx, registry)
    draft = plan(ctx.site, registry, evidence, sizes, options)
    checks = check_loads(ctx, registry, draft)
    if not checks:
        return PreparedPlan(draft, registry, sizes)
    sizes = sizes._replace(checks=checks)
    made = plan(ctx.site, registry, evidence, sizes, options)
    full = disk_error(ctx, made)
    if full is not None:
        made = made._replace(warnings=(*made.warnings, full.message))
    return PreparedPlan(made, registry, sizes)


def options_of(ctx: Context, args: Mapping[str, Any]) -> PlanOptions:
    """The options in the arguments of a verb."""
    given = {key: args[key] for key in ("to", "prune", "evict", "jobs") if key in args}
    return PlanOptions(ports=tuple(sorted(ctx.ports(args.get("ports")))), **given)
