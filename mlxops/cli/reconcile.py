"""The verb that cron calls: never two at once from this machine, and never without an end."""

from __future__ import annotations

import click

from ..agent.errors import DriftFound
from ..render.actions import changes, plan
from . import turn, words
from .invocation import Answer, Invocation, Result
from .ports import drift_found
from .verb import verb

LONGEST_S = 120.0


@verb(
    "reconcile",
    "mlxops reconcile --dry-run",
    "mlxops reconcile -q        # from cron: says nothing unless something changed or is wrong",
    "mlxops reconcile --dry-run --check || echo drift",
)
@click.option("--check", is_flag=True, help="Exit with 11 where drift is left that reconcile does not repair.")
@words.timeout(f"Seconds after which it gives up; default: {LONGEST_S:.0f}.")
@words.dry_run()
def reconcile(it: Invocation, check: bool, timeout_s: float | None, dry_run: bool) -> Answer:
    """Clear assignments whose servers are proven gone; report every other drift."""
    with turn.bounded(timeout_s or LONGEST_S), turn.alone(it.host):
        result = it.ask("reconcile", {"dry_run": dry_run})
    return Answer(result, changes if it.flags.quiet else plan, _left(result) if check else None)


def _left(result: Result) -> DriftFound | None:
    """The drift that is still there: what was not repaired, and what a dry run would repair."""
    waiting = [action for action in result["actions"] if not action.get("applied")]
    if waiting:
        return DriftFound("drift found: not yet reconciled", "mlxops reconcile", actions=waiting)
    return drift_found(result)
