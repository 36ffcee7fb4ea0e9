"""plan and apply: what each port should serve. The result has a row for every port, also if some
failed."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Type

from ..context import Context
from ..errors import (
    AssignmentConflict,
    Failed,
    Interrupted,
    MlxopsError,
    NeedsConsent,
    NotEnoughMemory,
    PortBusy,
    from_wire,
)
from ..hub.checks import format_size
from ..memory.fit import format_gib
from ..slots.conduct import NOTHING_DONE, Conductor, Outcome, restore_emptied
from ..slots.judge import STEPS
from ..slots.plan import Plan, Row
from ..slots.prepare import PreparedPlan, options_of, prepare
from ..slots.sizes import disk_error, downloads
from ..slots.steps import MemoryLedger, Times, steps_of

# Kinds that only a plan has -> the error that a load of the port would end with.
LOAD_ERRORS: Mapping[str, Type[MlxopsError]] = {
    "LaunchdOwned": PortBusy,
    "Unregistered": PortBusy,
    "ModelElsewhere": AssignmentConflict,
    "TooBig": NotEnoughMemory,
}


def plan(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """What apply would do, port by port; changes nothing."""
    return prepare(ctx, options_of(ctx, args)).plan.to_wire()


def apply(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    options = options_of(ctx, args)
    prepared = prepare(ctx, options)
    plan = prepared.plan
    outcomes: Mapping[int, Outcome] = {}
    if plan.changes:
        _require_agreed(plan, args.get("pids"))
        _require_whole(ctx, prepared)
        _require_consent(plan, args.get("ask_above_bytes"))
        ctx.client.check()
        times = Times(args.get("timeout_s"), args.get("grace_s"))
        outcomes = _carried_out(ctx, prepared, times, options.jobs)
    result = _result(plan, outcomes)
    if ctx.client.cancelled and any(outcome.error for outcome in outcomes.values()):
        raise _interrupted(result)
    return result


def _carried_out(
    ctx: Context, prepared: PreparedPlan, times: Times, jobs: int
) -> Mapping[int, Outcome]:
    ledger = MemoryLedger(prepared.sizes.limit_bytes, prepared.sizes.used_by_port)
    steps = steps_of(prepared.plan, prepared.registry, times)
    outcomes = Conductor(ctx, ledger, jobs).run(steps)
    return restore_emptied(ctx, prepared.plan, outcomes, times)


def _require_agreed(plan: Plan, pids: Optional[List[int]]) -> None:
    """PortBusy if a server would be stopped that was not in the plan the user agreed to."""
    due = [row for row in plan.rows if row.verdict in STEPS and row.pid is not None]
    new = [row for row in due if pids is not None and row.pid not in pids]
    if new:
        what = ", ".join("%s (port %d, pid %d)" % (row.live, row.port, row.pid or 0) for row in new)
        raise PortBusy(
            "nothing was changed: after you were asked, another server started: %s" % what,
            "mlxops apply asks again",
            pids=[row.pid for row in new],
        )


def _require_whole(ctx: Context, prepared: PreparedPlan) -> None:
    """NotEnoughMemory or NotEnoughDisk if the plan as a whole needs more than there is: nothing is
    touched then."""
    plan = prepared.plan
    memory = plan.memory
    if not memory.fits:
        sizes = sorted((port, size) for port, size in memory.ports.items() if size)
        uses = ["port %d: %s" % (port, format_gib(size)) for port, size in sizes]
        text = "the model servers would use %s of memory together, and may use %s: %s"
        total, most = sum(memory.ports.values()), memory.most_bytes or 0
        raise NotEnoughMemory(
            text % (format_gib(total), format_gib(most), "; ".join(uses)),
            "declare smaller models or fewer, or try mlxops apply --dry-run --evict",
            **plan.to_wire(),
        )
    full = disk_error(ctx, plan)
    if full is not None:
        full.fields.update(plan.to_wire())
        raise full


def _require_consent(plan: Plan, limit: Optional[int]) -> None:
    """NeedsConsent for larger downloads, before anything is done."""
    total = downloads(plan)
    if limit is not None and total > limit:
        raise NeedsConsent(
            "%s to download" % format_size(total),
            "add --yes to download without asking",
            missing_bytes=total,
            **plan.to_wire(),
        )


def _result(plan: Plan, outcomes: Mapping[int, Outcome]) -> Dict[str, Any]:
    """The plan with what became of it."""
    wire = plan.to_wire()
    done = [outcomes.get(row.port, _untouched(row)).record for row in plan.rows]
    rows = [{**row, **record} for row, record in zip(wire["rows"], done)]
    return {**wire, "rows": rows, "changed": any(row["changed"] for row in rows)}


def _untouched(row: Row) -> Outcome:
    """The outcome of a port without a step; if it is blocked, with the error of its load."""
    if row.verdict != "blocked":
        return NOTHING_DONE
    kind = row.kind or Failed.__name__
    made = LOAD_ERRORS.get(kind)
    record = {"kind": kind, "message": row.reason, "hint": row.hint}
    error = made(row.reason, row.hint) if made else from_wire(record)
    return NOTHING_DONE._replace(error=error)


def _interrupted(result: Mapping[str, Any]) -> Interrupted:
    rows: List[Mapping[str, Any]] = [row for row in result["rows"] if row["verdict"] != "blocked"]
    undone = ", ".join(str(row["port"]) for row in rows if not row["ok"])
    done = ", ".join(str(row["port"]) for row in rows if row["ok"] and row["changed"])
    words = ["interrupted; not done: %s" % undone, *(["done: %s" % done] if done else [])]
    return Interrupted("; ".join(words), "mlxops status", **result)
