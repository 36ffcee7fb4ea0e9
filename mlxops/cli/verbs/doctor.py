"""The verb doctor."""

from __future__ import annotations

import click

from ... import doctor as client
from ...agent.errors import DriftFound, Failed, Interrupted, MlxopsError, Usage
from ...render.doctor import LISTING, all_checks, failing_checks
from ...render.format import counted
from .. import options, reporting
from ..reporting import Reporting
from ..run import Answer, Result, Run
from ..verb import verb

# Checks whose failures count as drift (exit 11).
PORT_CHECKS = {"ports", "foreign listeners", "assignments"}


@verb(
    "doctor",
    "mlxops doctor",
    "mlxops doctor --fix --dry-run",
    "mlxops doctor -q || echo 'the Studio needs a look'",
    "mlxops doctor --json | jq '.result.checks[] | select(.verdict != \"ok\")'",
    reads=lambda given: given["dry_run"] or not given["fix"],
)
@click.option(
    "--fix",
    is_flag=True,
    help="Fix harmless problems: permissions, missing folders, leftovers.",
)
@reporting.notify_option()
@options.dry_run()
@options.listing(LISTING)
def doctor(run: Run, fix: bool, notify: str | None, dry_run: bool) -> Answer:
    """Check client and host, and show how to fix what is wrong.

    Exit 0 if nothing is wrong (warnings are allowed), 11 if a port is lost, broken or in drift,
    otherwise 1. With -q, only problems are shown."""
    if dry_run and not fix:
        raise Usage("--dry-run needs --fix; without it, doctor changes nothing", "mlxops doctor")
    outlets = Reporting(run, "doctor", notify)
    outlets.refuse_in_dry_run(dry_run)
    result, fault = _run_checks(run, {"fix": fix, "dry_run": dry_run})
    text = failing_checks if run.flags.quiet else all_checks
    if fault:
        outlets.deliver_failure(fault)
        outlets.warn()
        return Answer(result, text, fault)
    return outlets.answer(Answer(result, text, _checks_error(result)))


def _run_checks(run: Run, args: Result) -> tuple[Result, MlxopsError | None]:
    """The checks of both sides; of the client only, and the error, if the host did not answer."""
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
    """DriftFound if a check of ports failed, Failed if only others did.

    The details of the ports check begin with port and state, before a colon."""
    wrong = [one for one in result["checks"] if one["verdict"] == "wrong"]
    names = dict.fromkeys(one["check"] for one in wrong)
    if not names:
        return None
    ports = [str(one["seen"]).partition(":")[0] for one in wrong if one["check"] == "ports"]
    labels = [f"ports ({', '.join(ports)})" if name == "ports" else name for name in names]
    kind = DriftFound if names.keys() & PORT_CHECKS else Failed
    text = f'doctor found {counted(len(labels), "problem")} ({", ".join(labels)}); see "next" above'
    return kind(text, wrong=[*names])
