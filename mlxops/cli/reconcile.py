"""The verb that cron calls: never two at once from this machine, never without an end, and not the
same mail twice."""

from __future__ import annotations

import click

from ..agent.errors import DriftFound, Interrupted, MlxopsError
from ..render.actions import action_lines, change_lines, change_summary, problems, reconcile_plan
from . import alerts, options, single_instance
from .check_errors import drift_error
from .run import Answer, Result, Run
from .verb import verb

DEFAULT_TIMEOUT_S = 120.0


@verb(
    "reconcile",
    "mlxops reconcile --dry-run",
    "mlxops reconcile -q        # from cron: says nothing unless something changed or went wrong",
    "mlxops reconcile --dry-run --check || echo drift",
)
@click.option(
    "--check", is_flag=True, help="Exit with 11 where drift is left or a server is broken."
)
@options.timeout(f"Seconds after which it gives up; default: {DEFAULT_TIMEOUT_S:.0f}.")
@options.dry_run()
def reconcile(run: Run, check: bool, timeout_s: float | None, dry_run: bool) -> Answer:
    """Clear assignments whose servers are proven gone; report every other drift and every broken
    server.

    With -q, as cron runs it, a fault is reported when it is new, once a day while it lasts, and
    when it is over."""
    history = (
        None
        if not run.flags.quiet or run.flags.json or dry_run
        else alerts.FaultHistory(single_instance.reported_path(run.host))
    )
    try:
        with (
            single_instance.time_limit(timeout_s or DEFAULT_TIMEOUT_S),
            single_instance.exclusive(run.host),
        ):
            result = run.call("reconcile", {"dry_run": dry_run})
    except Interrupted:
        raise
    except MlxopsError as exc:
        return _failure(exc, history)
    error = _drift_error(result) if check else None
    if history is None:
        return Answer(
            result,
            reconcile_plan if dry_run else change_lines if run.flags.quiet else change_summary,
            error,
        )
    lines = _lines(result, history)
    return Answer(result, lambda *_: "\n".join(lines), error, None if lines else "")


def _lines(result: Result, history: alerts.FaultHistory) -> list[str]:
    """What was changed, and what the reader of the last runs does not know yet."""
    done = [action for action in result["actions"] if action.get("applied")]
    waiting = [action for action in result["actions"] if not action.get("applied")]
    faults = alerts.faults(problems(result), list(zip(waiting, action_lines(waiting), strict=True)))
    # Their own lines tell of them already.
    cleared = [one for one in result.get("drift") or [] if one not in problems(result)]
    history.mark_reported(alerts.faults(cleared, []))
    lines = [*action_lines(done), *history.report([*faults, *alerts.faults(cleared, [])])]
    history.save()
    return lines


def _failure(exc: MlxopsError, history: alerts.FaultHistory | None) -> Answer:
    """The failure itself, or nothing where it is the same as told before; the exit status is its
    own either way."""
    if history is None:
        raise exc
    new = history.report_failure(alerts.failure_fault(exc))
    history.save()
    return Answer(None, None, exc, None if new else "")


def _drift_error(result: Result) -> DriftFound | None:
    """The drift that is still there: what was not repaired, and what a dry run would repair."""
    waiting = [action for action in result["actions"] if not action.get("applied")]
    stale = [{**action, "drift": "stale"} for action in waiting]
    found = drift_error({**result, "drift": [*stale, *(result.get("drift") or [])]})
    if found and waiting:
        found.fields["actions"] = waiting
    return found
