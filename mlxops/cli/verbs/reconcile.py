"""The verb reconcile, as cron runs it: one at a time per host file, with a time limit, and without
repeating its mails."""

from __future__ import annotations

import click

from ...agent.errors import DriftFound, Interrupted, MlxopsError
from ...render.actions import change_lines, change_summary, plan_summary
from ...unattended import single_instance
from ...unattended.faults import failure_fault
from ...unattended.reported import ReportedFaults, lines
from .. import options, reporting
from ..check_errors import drift_error
from ..reporting import Reporting
from ..run import Answer, OnEvent, Result, Run
from ..verb import verb

DEFAULT_TIMEOUT_S = 120.0
_RESTART = (
    "Start wanted models whose server is gone, with growing pauses. After five failed starts "
    "within an hour, wait for a person."
)


@verb(
    "reconcile",
    "mlxops reconcile --dry-run",
    "mlxops reconcile -q --check          # from cron: prints only news",
    "mlxops reconcile --dry-run --check || echo drift",
    "mlxops reconcile -q --restart        # from cron: also starts crashed models",
    "mlxops reconcile --notify 'mail -s \"$MLXOPS_SUMMARY\" me'",
)
@click.option("--restart", is_flag=True, help=_RESTART)
@click.option("--check", is_flag=True, help="Exit 11 if drift remains or a server is broken.")
@reporting.notify_option()
@reporting.metrics_option()
@options.timeout(f"Give up after this time (default {DEFAULT_TIMEOUT_S:.0f}).")
@options.dry_run()
def reconcile(
    run: Run,
    restart: bool,
    check: bool,
    notify: str | None,
    metrics: str | None,
    timeout_s: float | None,
    dry_run: bool,
) -> Answer:
    """Free ports whose server is gone; report all other drift and broken servers.

    With -q, as cron runs it, a problem is reported when it is new, once a day while it lasts, and
    when it is over. An unreachable host is reported once, and when it is back."""
    outlets = Reporting(run, "reconcile", notify, metrics)
    outlets.refuse_in_dry_run(dry_run)
    quiet = run.flags.quiet and not run.flags.json and not dry_run
    reported = ReportedFaults(single_instance.reported_path(run.host)) if quiet else None
    warnings = _Warnings(run.progress, keep=quiet)
    args = {"dry_run": dry_run, "restart": restart, **outlets.args}
    try:
        with (
            single_instance.time_limit(timeout_s or DEFAULT_TIMEOUT_S),
            single_instance.exclusive(run.host),
        ):
            result = run.call("reconcile", args, warnings)
    except Interrupted:
        raise
    except MlxopsError as exc:
        return _failure(exc, reported, outlets)
    error = _drift_error(result) if check else None
    if reported is None:
        text = plan_summary if dry_run else change_lines if run.flags.quiet else change_summary
        return outlets.answer(Answer(result, text, error))
    outlets.deliver(result, error, warnings.messages)
    news = lines(outlets.news(result, reported, warnings.messages))
    reported.save()
    # A failed outlet is one of the lines, and a mail of cron needs no summary of its lines.
    show_error = error is not None and bool(news) and not run.flags.cron
    return Answer(
        result,
        lambda *_: "\n".join(news),
        error or next(iter(outlets.problems.values()), None),
        None if show_error else "",
    )


class _Warnings:
    """Passes events on; `keep`: warnings are kept instead, and reported like faults."""

    def __init__(self, progress: OnEvent, keep: bool) -> None:
        self._progress, self._keep = progress, keep
        self.messages: list[str] = []

    def __call__(self, event: Result) -> None:
        if self._keep and event.get("event") == "warning":
            self.messages.append(str(event.get("message", "")))
        else:
            self._progress(event)


def _failure(exc: MlxopsError, reported: ReportedFaults | None, outlets: Reporting) -> Answer:
    """The failure, without its message if that was reported before; the exit status stays."""
    outlets.deliver_failure(exc)
    if reported is None:
        outlets.warn()
        raise exc
    if outlets.run.flags.cron and single_instance.is_previous_run(exc):
        return Answer(None, None, exc, "")
    new = reported.failure(failure_fault(exc))
    for fault in outlets.own_faults():
        for one in reported.failure(fault):
            outlets.run.progress.warn(one.line)
    reported.save()
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
