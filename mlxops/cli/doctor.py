"""The verb that looks at everything mlxops stands on."""

from __future__ import annotations

import click

from .. import doctor as client
from ..agent.errors import DriftFound, Failed, Interrupted, MlxopsError, Usage
from ..render.doctor import all_checks, failing_checks
from . import options
from .run import Answer, Result, Run
from .verb import verb

# The checks of ports: drift, whatever else it is.
PORT_CHECKS = {"ports", "foreign listeners", "assignments"}


@verb(
    "doctor",
    "mlxops doctor",
    "mlxops doctor --fix --dry-run",
    "mlxops doctor -q || echo look at it",
    "mlxops doctor --json | jq '.result.checks[] | select(.verdict != \"ok\")'",
)
@click.option(
    "--fix",
    is_flag=True,
    help="Mend what is harmless: modes of our own folders, missing ones, leftovers.",
)
@options.dry_run()
def doctor(run: Run, fix: bool, dry_run: bool) -> Answer:
    """Check both sides, from the host file to the disk, and name the command that mends what is
    wrong.

    Exits with 0 when nothing is wrong, whatever the warnings, with 11 when a port is lost, broken
    or in drift, else with 1; with -q only what is not ok is shown."""
    if dry_run and not fix:
        raise Usage(
            "--dry-run goes with --fix: without it nothing is changed anyway", "mlxops doctor"
        )
    result, fault = _run_checks(run, {"fix": fix, "dry_run": dry_run})
    return Answer(
        result, failing_checks if run.flags.quiet else all_checks, fault or _checks_error(result)
    )


def _run_checks(run: Run, args: Result) -> tuple[Result, MlxopsError | None]:
    """The rows of both sides; where the host did not answer, those of this one, with the reason."""
    call = client.CallTimes(run.progress)
    try:
        host = run.host
    except MlxopsError as exc:
        return {"checks": client.host_file_error(exc), "actions": []}, exc
    try:
        result = run.call("doctor", args, call.event, call.sent)
    except Interrupted:
        raise
    except MlxopsError as exc:
        return {"checks": client.client_rows(host, call, exc), "actions": []}, exc
    return {**result, "checks": [*client.client_rows(host, call, None), *result["checks"]]}, None


def _checks_error(result: Result) -> MlxopsError | None:
    """DriftFound where a port is not as it should be, whatever else is wrong; its rows begin with
    port and state."""
    wrong = [one for one in result["checks"] if one["verdict"] == "wrong"]
    names = dict.fromkeys(one["check"] for one in wrong)
    if not names:
        return None
    ports = [str(one["seen"]).partition(":")[0] for one in wrong if one["check"] == "ports"]
    told = [f"ports ({', '.join(ports)})" if name == "ports" else name for name in names]
    kind = DriftFound if names.keys() & PORT_CHECKS else Failed
    return kind(
        f"wrong: {', '.join(told)}", "each row names the command that mends it", wrong=[*names]
    )
