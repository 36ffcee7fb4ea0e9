"""The verb that cron calls: never two at once from this machine, never without an end, and not the
same mail twice."""

from __future__ import annotations

import click

from ..agent.errors import DriftFound, Interrupted, MlxopsError
from ..render.actions import action_lines, changes, plan, rehearsed, wrong
from . import alerts as told
from . import options as words
from . import single as turn
from .findings import drift_found
from .invocation import Answer, Invocation, Result
from .verb import verb

LONGEST_S = 120.0


@verb(
    "reconcile",
    "mlxops reconcile --dry-run",
    "mlxops reconcile -q        # from cron: says nothing unless something changed or went wrong",
    "mlxops reconcile --dry-run --check || echo drift",
)
@click.option(
    "--check", is_flag=True, help="Exit with 11 where drift is left or a server is broken."
)
@words.timeout(f"Seconds after which it gives up; default: {LONGEST_S:.0f}.")
@words.dry_run()
def reconcile(it: Invocation, check: bool, timeout_s: float | None, dry_run: bool) -> Answer:
    """Clear assignments whose servers are proven gone; report every other drift and every broken
    server.

    With -q, as cron runs it, a fault is reported when it is new, once a day while it lasts, and
    when it is over."""
    news = (
        None
        if not it.flags.quiet or it.flags.json or dry_run
        else told.Memory(turn.told_path(it.host))
    )
    try:
        with turn.bounded(timeout_s or LONGEST_S), turn.alone(it.host):
            result = it.ask("reconcile", {"dry_run": dry_run})
    except Interrupted:
        raise
    except MlxopsError as exc:
        return _failed(exc, news)
    error = _left(result) if check else None
    if news is None:
        return Answer(result, rehearsed if dry_run else changes if it.flags.quiet else plan, error)
    lines = _lines(result, news)
    return Answer(result, lambda *_: "\n".join(lines), error, None if lines else "")


def _lines(result: Result, news: told.Memory) -> list[str]:
    """What was changed, and what the reader of the last runs does not know yet."""
    done = [action for action in result["actions"] if action.get("applied")]
    waiting = [action for action in result["actions"] if not action.get("applied")]
    faults = told.faults(wrong(result), list(zip(waiting, action_lines(waiting), strict=True)))
    # Their own lines tell of them already.
    cleared = [one for one in result.get("drift") or [] if one not in wrong(result)]
    news.note(told.faults(cleared, []))
    lines = [*action_lines(done), *news.news([*faults, *told.faults(cleared, [])])]
    news.save()
    return lines


def _failed(exc: MlxopsError, news: told.Memory | None) -> Answer:
    """The failure itself, or nothing where it is the same as told before; the exit status is its
    own either way."""
    if news is None:
        raise exc
    new = news.failure(told.failed(exc))
    news.save()
    return Answer(None, None, exc, None if new else "")


def _left(result: Result) -> DriftFound | None:
    """The drift that is still there: what was not repaired, and what a dry run would repair."""
    waiting = [action for action in result["actions"] if not action.get("applied")]
    stale = [{**action, "drift": "stale"} for action in waiting]
    found = drift_found({**result, "drift": [*stale, *(result.get("drift") or [])]})
    if found and waiting:
        found.fields["actions"] = waiting
    return found
