"""The verb restart."""

from __future__ import annotations

from ...agent.errors import Failed, MlxopsError, from_wire
from ...render.restart import restart_question, restart_result, servers_to_restart
from .. import options
from ..run import Answer, Result, Run
from ..verb import verb
from ..words.ports import port_words


@verb(
    "restart",
    "mlxops restart 8100",
    "mlxops restart jerry-xl 8103 --yes",
    "mlxops restart 8100 --dry-run",
)
@options.port("ports", nargs=-1, required=True, metavar="PORT...")
@options.timeout("Time limit for a model to become ready (default: as for load).")
@options.grace()
@options.dry_run()
@options.yes()
def restart(
    run: Run,
    ports: tuple[str, ...],
    timeout_s: float | None,
    grace_s: float | None,
    dry_run: bool,
    yes: bool,
) -> Answer:
    """Stop the server on PORT and start it again, with the same model.

    The new server gets the flags that its entry has now; what differs is shown. If it does not
    become ready, the old one is started again as it was. A server that hangs is restarted too, and
    one that crashed is started.

    Several ports are restarted one after the other; if one fails, the others go on, and the exit
    status is 1. At a terminal you are asked to confirm."""
    args: Result = {
        "ports": port_words(run.host, ports),
        "timeout_s": timeout_s,
        "grace_s": grace_s,
        "dry_run": dry_run,
    }
    if run.interactive and not yes and not dry_run:
        args["pids"] = _confirm(run, args)
    result = run.call("restart", args)
    return Answer(result, restart_result, _error(result, dry_run))


def _confirm(run: Run, args: Result) -> list[int]:
    """The pids of the servers that the user agreed to stop."""
    preview = run.call("restart", {**args, "dry_run": True})
    serving = [row for row in preview["ports"] if row.get("previous_pid")]
    if serving:
        run.preview(servers_to_restart(preview, run.console.err_style))
        run.confirm(restart_question(serving), "nothing was restarted")
    return [row["previous_pid"] for row in serving]


def _error(result: Result, dry_run: bool) -> MlxopsError | None:
    failed = [row for row in result["ports"] if not row["ok"]]
    if not failed:
        return None
    if len(result["ports"]) == 1:
        return from_wire(failed[0]["error"])
    ports = [row["port"] for row in failed]
    what = "cannot be restarted" if dry_run else "not restarted"
    return Failed(f"{what}: {', '.join(map(str, ports))}", "mlxops status", ports=ports)
