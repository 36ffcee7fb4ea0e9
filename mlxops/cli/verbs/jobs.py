"""The verbs jobs and cancel: a job continues without the client that started it."""

from __future__ import annotations

from functools import partial

import click

from ...agent.errors import Usage, from_wire
from ...render.jobs import JOBS, LOCKS, job_outcome, job_table, lock_table
from .. import options
from ..run import Answer, Run
from ..until_interrupt import until_interrupt
from ..verb import unless, verb

SHOWN = 10


@verb(
    "jobs",
    "mlxops jobs",
    "mlxops jobs -n 50",
    "mlxops jobs 8100                    # those of one port",
    "mlxops jobs --follow 8100           # what runs there, to its end",
    "mlxops jobs --locks",
    reads=unless("follow"),
)
@options.job()
@click.option(
    "-n",
    "count",
    type=options.WholeNumber(1),
    metavar="N",
    help=f"Number of jobs (default {SHOWN}, or all with --json).",
)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Watch a job until it ends, and exit with its exit status.",
)
@click.option(
    "--locks", is_flag=True, help="Show who holds the locks of the registry and the ports, and why."
)
@options.listing(JOBS, LOCKS)
def jobs(run: Run, job: str | None, count: int | None, follow: bool, locks: bool) -> Answer:
    """List the loads and unloads on the host, running and finished.

    JOB is the id of a job, or a port, slot or model. --follow without JOB watches the only running
    job; Ctrl-C stops watching, and the job continues."""
    if (locks and (job or follow or count)) or (follow and count):
        raise Usage(
            "--locks is used alone" if locks else "-n cannot be used with --follow",
            "mlxops jobs --help",
        )
    if locks:
        return Answer(run.call("lock", {}), lock_table)
    if follow:
        return _follow(run, job)
    result = run.call("jobs", {"job": job} if job else {})
    if count or not run.flags.json:
        result = {
            **result,
            "jobs": result["jobs"][: count or SHOWN],
            "more": len(result["jobs"][count or SHOWN :]),
        }
    return Answer(result, partial(job_table, everything=count is not None, about=job))


def _follow(run: Run, job: str | None) -> Answer:
    goodbye = "stopped watching; the job continues (mlxops jobs --follow)"
    return until_interrupt(lambda: _ended(run, job), goodbye)


def _ended(run: Run, job: str | None) -> Answer:
    """The end of the job; of one that is over also when that was."""
    result = run.call("follow", {"job": job})
    fault = result.get("error") if result.get("over") else None
    return Answer(result, job_outcome, from_wire(fault) if fault else None)


@verb("cancel", "mlxops cancel", "mlxops cancel 8100")
@options.job()
def cancel(run: Run, job: str | None) -> Answer:
    """Cancel a job and wait until it has been rolled back.

    JOB is the id of a job, or a port, slot or model. Without it: the only running job."""
    return Answer(run.call("cancel", {"job": job}), job_outcome)
