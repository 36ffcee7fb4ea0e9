"""Verbs about work that goes on on the host without the client that asked for it."""

from __future__ import annotations

import click

from ..render.jobs import ended, jobs_text, locks_text
from .invocation import Answer, Invocation
from .verb import verb
from .watch import watched

SHOWN = 10


@verb("jobs", "mlxops jobs", "mlxops jobs -n 50", "mlxops --json jobs")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1),
    metavar="N",
    help=f"How many; default: {SHOWN}, with --json all.",
)
def jobs(it: Invocation, count: int | None) -> Answer:
    """List loads and unloads on the host: those that are running, and how the last ones ended."""
    result = it.ask("jobs", {})
    if count or not it.flags.json:
        result = {
            **result,
            "jobs": result["jobs"][: count or SHOWN],
            "more": len(result["jobs"][count or SHOWN :]),
        }
    return Answer(result, jobs_text)


@verb("follow", "mlxops follow", "mlxops follow 8100", "mlxops follow 20261122T204317-8100-4711")
@click.argument("job", required=False, metavar="[JOB|PORT]")
def follow(it: Invocation, job: str | None) -> Answer:
    """Watch a job to its end; it ends as the job ends.

    Without a word: the only job that runs. Ctrl-C leaves the job alone.
    """
    parting = "the job goes on; `mlxops follow` watches it again"
    return watched(lambda: Answer(it.ask("follow", {"job": job}), ended), parting)


@verb("cancel", "mlxops cancel", "mlxops cancel 8100")
@click.argument("job", required=False, metavar="[JOB|PORT]")
def cancel(it: Invocation, job: str | None) -> Answer:
    """Cancel a job and wait until it has undone its work.

    Without a word: the only job that runs.
    """
    return Answer(it.ask("cancel", {"job": job}), ended)


@verb("lock", "mlxops lock")
def lock(it: Invocation) -> Answer:
    """Who holds the registry's lock and the ports' locks, since when and why."""
    return Answer(it.ask("lock", {}), locks_text)
