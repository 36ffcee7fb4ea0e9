"""Verbs about work that goes on on the host without the client that asked for it."""

from __future__ import annotations

import click

from ..render.jobs import job_outcome, job_table, lock_table
from .run import Answer, Run
from .verb import verb
from .watch import watch_until_interrupt

SHOWN = 10


@verb("jobs", "mlxops jobs", "mlxops jobs -n 50", "mlxops --json jobs")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1),
    metavar="N",
    help=f"How many; default: {SHOWN}, with --json all.",
)
def jobs(run: Run, count: int | None) -> Answer:
    """List loads and unloads on the host: those that are running, and how the last ones ended."""
    result = run.call("jobs", {})
    if count or not run.flags.json:
        result = {
            **result,
            "jobs": result["jobs"][: count or SHOWN],
            "more": len(result["jobs"][count or SHOWN :]),
        }
    return Answer(result, job_table)


@verb("follow", "mlxops follow", "mlxops follow 8100", "mlxops follow 20261122T204317-8100-4711")
@click.argument("job", required=False, metavar="[JOB|PORT]")
def follow(run: Run, job: str | None) -> Answer:
    """Watch a job to its end; it ends as the job ends.

    Without a word: the only job that runs. Ctrl-C leaves the job alone.
    """
    parting = "the job goes on; `mlxops follow` watches it again"
    return watch_until_interrupt(
        lambda: Answer(run.call("follow", {"job": job}), job_outcome), parting
    )


@verb("cancel", "mlxops cancel", "mlxops cancel 8100")
@click.argument("job", required=False, metavar="[JOB|PORT]")
def cancel(run: Run, job: str | None) -> Answer:
    """Cancel a job and wait until it has undone its work.

    Without a word: the only job that runs.
    """
    return Answer(run.call("cancel", {"job": job}), job_outcome)


@verb("lock", "mlxops lock")
def lock(run: Run) -> Answer:
    """Who holds the registry's lock and the ports' locks, since when and why."""
    return Answer(run.call("lock", {}), lock_table)
