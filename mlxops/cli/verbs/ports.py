"""The verbs status, unload and unload-all."""

from __future__ import annotations

import click

from ...agent.errors import DriftFound, Failed, Usage, from_wire
from ...render.ports import servers_to_stop, unload_all_result, unload_result
from ...render.status import deep as deep_text
from ...render.status import status as status_text
from ...render.status import status_problems
from .. import options
from ..check_errors import drift_error, port_errors
from ..run import Answer, Result, Run
from ..verb import verb


@verb(
    "status",
    "mlxops status",
    "mlxops status 8100 jerry-l",
    "mlxops status --check || echo 'the Studio needs a look'",
    "mlxops status --deep",
)
@options.port("ports", nargs=-1, metavar="[PORT]...")
@click.option(
    "--check",
    is_flag=True,
    help="Exit 11 if registry and host differ or a server is broken.",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Also send real requests, as verify does; show speed and result.",
)
@options.timeout("Time limit per port for --deep (default 300).")
def status(
    run: Run, ports: tuple[str, ...], check: bool, deep: bool, timeout_s: float | None
) -> Answer:
    """Show every port: what the registry says, what is running, and whether it answers.

    "-" means unknown. DRIFT names a difference between registry and host; the lines below the table
    give its reason and the next command. With --check -q, only those are shown."""
    chosen = [run.host.port_word(word) for word in ports] or None
    if timeout_s is not None and not deep:
        raise Usage(
            "--timeout needs --deep; without it, status takes at most 2 seconds",
            "mlxops status --deep",
        )
    more = {"deep": True, "timeout_s": timeout_s} if deep else {}
    result = run.call("status", {"ports": chosen, **({"fresh": True} if check else {}), **more})
    fault = from_wire(result["error"]) if result.get("error") else None
    text = deep_text if deep else status_text
    if check and run.flags.quiet:
        text = status_problems
    return Answer(result, text, fault or (_check_error(result) if check else None))


def _check_error(result: Result) -> DriftFound | None:
    wrong = port_errors([port for port in result["ports"] if not port.get("drift")], [])
    return drift_error(result) or wrong


@verb(
    "unload",
    "mlxops unload 8104",
    "mlxops unload jerry-xl --grace 120",
    "mlxops unload 8104 --dry-run",
)
@options.port()
@options.grace()
@options.dry_run()
def unload(run: Run, port: str, grace_s: float | None, dry_run: bool) -> Answer:
    """Stop the server on PORT, confirm that it is gone, and free the port."""
    args = {"port": run.host.port_word(port), "grace_s": grace_s, "dry_run": dry_run}
    return Answer(run.call("unload", args), unload_result)


@verb(
    "unload-all",
    "mlxops unload-all",
    "mlxops unload-all --dry-run",
    "mlxops unload-all --registered --yes",
)
@options.grace()
@options.dry_run()
@options.yes()
@click.option("--registered", is_flag=True, help="Leave what is not in the registry.")
def unload_all(
    run: Run, grace_s: float | None, dry_run: bool, yes: bool, registered: bool
) -> Answer:
    """Stop all of your model servers on the host's ports, and free the ports.

    This includes servers that are not in the registry. At a terminal the servers are listed, and
    you are asked to confirm. If one port fails, or another program uses it, the others are still
    unloaded, and the exit status is 1; that of a dry run is the same."""
    args: Result = {"grace_s": grace_s, "dry_run": dry_run, "registered": registered}
    if run.interactive and not yes and not dry_run:
        args["pids"] = _confirm_stop(run, args)
    result = run.call("unload-all", args)
    error = _unload_error(result, "cannot be unloaded" if dry_run else "not unloaded")
    return Answer(result, lambda told, style: unload_all_result(told, style, dry_run), error)


def _confirm_stop(run: Run, args: Result) -> list[int]:
    """The pids of the servers that the user agreed to stop."""
    preview = run.call("unload-all", {**args, "dry_run": True})
    servers = [
        port for port in preview["ports"] if port.get("pid") and port.get("state") == "planned"
    ]
    if servers:
        run.console.note(servers_to_stop(servers))
        count = "this server" if len(servers) == 1 else f"these {len(servers)} servers"
        run.confirm(f"Stop {count}?", "nothing was unloaded")
    return [port["pid"] for port in servers]


def _unload_error(result: Result, what: str) -> Failed | None:
    failed = [port["port"] for port in result["ports"] if not port.get("ok", True)]
    if not failed:
        return None
    return Failed(f"{what}: {', '.join(map(str, failed))}", "mlxops status", ports=failed)
