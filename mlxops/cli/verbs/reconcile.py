"""The verb reconcile, as cron runs it: one at a time per host file, with a time limit, and without
repeating its mails."""

from __future__ import annotations

import click

from ...agent.errors import DriftFound, Interrupted, MlxopsError
from ...render.actions import action_lines, change_lines, change_summary, plan_summary, problems
from .. import alerts, options, single_instance
from ..check_errors import drift_error
from ..run import Answer, Result, Run
from ..verb import verb

DEFAULT_TIMEOUT_S = 120.0
_RESTART = (
    "Start wanted models whose server is gone, with growing pauses. After five failed starts "
    "within an hour, wait for a person."
)


@verb(
    "reconcile",
    "mlxops reconcile --dry-run",
    "mlxops reconcile -q                  # from cron: prints only news",
    "mlxops reconcile --dry-run --check || echo drift",
    "mlxops reconcile -q --restart        # from cron: also starts crashed models",
)
@click.option("--restart", is_flag=True, help=_RESTART)
@click.option("--check", is_flag=True, help="Exit 11 if drift remains or a server is broken.")
@options.timeout(f"Give up after this time (default {DEFAULT_TIMEOUT_S:.0f}).")
@options.dry_run()
def reconcile(
    run: Run, restart: bool, check: bool, timeout_s: float | None, dry_run: bool
) -> Answer:
    """Free ports whose server is gone; report all other drift and broken servers.

    With -q, as cron runs it, a problem is reported when it is new, once a day while it lasts, and
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
            result = run.call("reconcile", {"dry_run": dry_run, "restart": restart})
    except Interrupted:
        raise
    except MlxopsError as exc:
        return _failure(exc, history)
    error = _drift_error(result) if check else None
    if history is None:
        return Answer(
            result,
            plan_summary if dry_run else change_lines if run.flags.quiet else change_summary,
            error,
        )
    lines = _lines(result, history)
    return Answer(result, lambda *_: "\n".join(lines), error, None if lines else "")


def _lines(result: Result, history: alerts.FaultHistory) -> list[str]:
    """What was changed, and which problems are new, due again or over."""
    done = [action for action in result["actions"] if action.get("applied")]
    waiting = [action for action in result["actions"] if not action.get("applied")]
    faults = alerts.faults(problems(result), list(zip(waiting, action_lines(waiting), strict=True)))
    # Lines of actions report these already.
    cleared = [one for one in result.get("drift") or [] if one not in problems(result)]
    history.mark_reported(alerts.faults(cleared, []))
    lines = [*action_lines(done), *history.report([*faults, *alerts.faults(cleared, [])])]
    history.save()
    return lines


def _failure(exc: MlxopsError, history: alerts.FaultHistory | None) -> Answer:
    """The failure, without its message if that was reported before; the exit status stays."""
    if history is None:
        raise exc
    new = history.report_failure(alerts.failure_fault(exc))
    history.save()
    return Answer(None, None, exc, None if new else "")


def _drift_error(result: Result) -> DriftFound | None:
    """The remaining drift: what was not repaired, or what a dry run would repair."""
    waiting = [
        action
        for action in result["actions"]
        # What is not started is reported as lost.
        if not action.get("applied") and action["action"] != "start"
    ]
    stale = [{**action, "drift": "stale"} for action in waiting]
    error = drift_error({**result, "drift": [*stale, *(result.get("drift") or [])]})
    if error and waiting:
        error.fields["actions"] = waiting
    return error
