"""The verb unload."""

from __future__ import annotations

from typing import Any

import click

from ...agent.errors import Failed, Usage
from ...render.ports import servers_to_stop, unload_all_result, unload_result
from .. import options
from ..check_errors import registry_fault
from ..run import Answer, Result, Run
from ..verb import verb
from ..words.ports import port_words


@verb(
    "unload",
    "mlxops unload 8104",
    "mlxops unload jerry-xl --grace 120",
    "mlxops unload 8104-8106 jerry-l --yes",
    "mlxops unload --all --dry-run",
)
@options.port("ports", nargs=-1, metavar="PORT...")
@click.option("--all", "everything", is_flag=True, help="All ports of the host.")
@click.option(
    "--registered", is_flag=True, help="With --all: leave servers that are not in the registry."
)
@options.grace()
@options.dry_run()
@options.yes()
def unload(
    run: Run,
    ports: tuple[str, ...],
    everything: bool,
    registered: bool,
    yes: bool,
    **more: Any,
) -> Answer:
    """Stop the server on PORT, confirm that it is gone, and free the port.

    PORT is a port, a slot or the name of a loaded model, in full; a range is 8100-8103. At a
    terminal the servers are listed, and you are asked to confirm.

    --all includes servers that are not in the registry. If one of several ports fails, or another
    program uses it, the others are still unloaded, and the exit status is 1; that of a dry run is
    the same."""
    if everything == bool(ports) or (registered and not everything):
        raise _usage(everything, registered)
    verb_ = "unload-all" if everything else "unload"
    args: Result = {**more, **_ports(run, ports)}
    if everything:
        args["registered"] = registered
    if run.interactive and not yes and not more["dry_run"]:
        args["pids"] = _confirm_stop(run, verb_, args)
    result = run.call(verb_, args)
    if "ports" not in result:
        return Answer(result, unload_result)
    dry = bool(more["dry_run"])
    error = registry_fault(result) or _unload_error(
        result, "cannot be unloaded" if dry else "not unloaded"
    )
    return Answer(result, lambda rows, style: unload_all_result(rows, style, dry), error)


def _usage(everything: bool, registered: bool) -> Usage:
    if everything:
        return Usage("--all cannot be used with PORT", "mlxops unload --all, or mlxops unload PORT")
    if registered:
        return Usage("--registered needs --all", "mlxops unload --all --registered")
    return Usage("missing PORT", "mlxops unload PORT, or mlxops unload --all")


def _ports(run: Run, words: tuple[str, ...]) -> Result:
    """One port has a row as its answer, several have a list of rows."""
    ports = port_words(run.host, words)
    return {"port": ports[0]} if len(ports) == 1 else {"ports": ports} if ports else {}


def _confirm_stop(run: Run, verb_: str, args: Result) -> list[int]:
    """The pids of the servers that the user agreed to stop."""
    preview = run.call(verb_, {**args, "dry_run": True})
    servers = [
        port
        for port in preview.get("ports", [preview])
        if port.get("pid") and port.get("state") == "planned"
    ]
    if servers:
        run.preview(servers_to_stop(servers))
        count = "this server" if len(servers) == 1 else f"these {len(servers)} servers"
        run.confirm(f"Stop {count}?", "nothing was unloaded")
    return [port["pid"] for port in servers]


def _unload_error(result: Result, what: str) -> Failed | None:
    failed = [port["port"] for port in result["ports"] if not port.get("ok", True)]
    if not failed:
        return None
    return Failed(f"{what}: {', '.join(map(str, failed))}", "mlxops status", ports=failed)
