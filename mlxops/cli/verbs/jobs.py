"""The verbs jobs, follow, cancel and lock: a job continues without the client that started it."""

from __future__ import annotations

import click

from ...render.jobs import job_outcome, job_table, lock_table
from .. import options
from ..run import Answer, Run
from ..verb import verb
from ..watch import watch_until_interrupt

SHOWN = 10


@verb("jobs", "mlxops jobs", "mlxops jobs -n 50", "mlxops jobs --json")
@click.option(
    "-n",
    "count",
    type=options.WholeNumber(1),
    metavar="N",
    help=f"Number of jobs (default {SHOWN}, or all with --json).",
)
def jobs(run: Run, count: int | None) -> Answer:
    """List the loads and unloads on the host, running and finished."""
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
    """Watch a job until it ends, and exit with its exit status.

    Without an argument: the only running job. Ctrl-C stops watching; the job continues."""
    goodbye = "stopped watching; the job continues (mlxops follow)"
    return watch_until_interrupt(
        lambda: Answer(run.call("follow", {"job": job}), job_outcome), goodbye
    )


@verb("cancel", "mlxops cancel", "mlxops cancel 8100")
@click.argument("job", required=False, metavar="[JOB|PORT]")
def cancel(run: Run, job: str | None) -> Answer:
    """Cancel a job and wait until it has been rolled back.

    Without an argument: the only running job."""
    return Answer(run.call("cancel", {"job": job}), job_outcome)


@verb("lock", "mlxops lock")
def lock(run: Run) -> Answer:
    """Show who holds the locks of the registry and the ports, since when, and why."""
    return Answer(run.call("lock", {}), lock_table)
