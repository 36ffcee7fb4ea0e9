"""Verbs about ports: what they do, and how to empty them."""

from __future__ import annotations

import click

from ..agent.errors import DriftFound, Failed, Usage, from_wire
from ..render.actions import supposed
from ..render.ports import all_unloaded, to_be_stopped, unloaded
from ..render.status import deep as deep_text
from ..render.status import status as status_text
from . import options as words
from .findings import differences, drift_found
from .invocation import Answer, Invocation, Result
from .verb import verb


@verb(
    "status",
    "mlxops status",
    "mlxops status 8100 jerry-l",
    "mlxops status --check || echo look at it",
    "mlxops status --deep",
)
@words.port("wanted", nargs=-1, metavar="[PORT]...")
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 11 where registry and host differ or a server is broken.",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Put each server to the proof as verify does: its pace, and a verdict.",
)
@words.timeout("Seconds the requests of --deep to one port may take together; default: 300.")
def status(
    it: Invocation, wanted: tuple[str, ...], check: bool, deep: bool, timeout_s: float | None
) -> Answer:
    """Every port: registry, processes and HTTP answer side by side.

    A dash is a figure nobody knows.
    """
    ports = [it.host.port_word(word) for word in wanted] or None
    if timeout_s is not None and not deep:
        raise Usage(
            "--timeout goes with --deep: a plain look takes two seconds at most",
            "mlxops status --deep",
        )
    more = {"deep": True, "timeout_s": timeout_s} if deep else {}
    result = it.ask("status", {"ports": ports, **({"fresh": True} if check else {}), **more})
    fault = from_wire(result["error"]) if result.get("error") else None
    return Answer(
        result, deep_text if deep else status_text, fault or (_differs(result) if check else None)
    )


def _differs(result: Result) -> DriftFound | None:
    wrong = differences([port for port in result["ports"] if not port.get("drift")], [])
    return drift_found(result) or wrong


@verb(
    "unload",
    "mlxops unload 8104",
    "mlxops unload jerry-xl --grace 120",
    "mlxops unload 8104 --dry-run",
)
@words.port("wanted")
@words.grace()
@words.dry_run()
def unload(it: Invocation, wanted: str, grace_s: float | None, dry_run: bool) -> Answer:
    """Stop the server on a port, prove it stopped, and clear the assignment."""
    args = {"port": it.host.port_word(wanted), "grace_s": grace_s, "dry_run": dry_run}
    return Answer(it.ask("unload", args), supposed(unloaded) if dry_run else unloaded)


@verb(
    "unload-all",
    "mlxops unload-all",
    "mlxops unload-all --dry-run",
    "mlxops unload-all --registered --yes",
)
@words.grace()
@words.dry_run()
@words.yes()
@click.option("--registered", is_flag=True, help="Leave servers that are not in the registry.")
def unload_all(
    it: Invocation, grace_s: float | None, dry_run: bool, yes: bool, registered: bool
) -> Answer:
    """Stop every model server of yours on this host's ports and clear all assignments.

    This includes servers that are not in the registry. At a terminal the servers are listed first,
    and you are asked. If one port fails, the others are still unloaded, and the exit status is
    1."""
    args: Result = {"grace_s": grace_s, "dry_run": dry_run, "registered": registered}
    if it.asks and not yes and not dry_run:
        args["pids"] = _agreed(it, args)
    result = it.ask("unload-all", args)
    return Answer(result, supposed(all_unloaded) if dry_run else all_unloaded, _some_failed(result))


def _agreed(it: Invocation, args: Result) -> list[int]:
    """The servers that a person was shown and agreed to stop."""
    found = it.ask("unload-all", {**args, "dry_run": True})
    servers = [
        port for port in found["ports"] if port.get("pid") and port.get("state") == "planned"
    ]
    if servers:
        it.console.note(to_be_stopped(servers))
        count = "this server" if len(servers) == 1 else f"these {len(servers)} servers"
        it.agreed(f"Stop {count}?", "nothing was unloaded")
    return [port["pid"] for port in servers]


def _some_failed(result: Result) -> Failed | None:
    failed = [port["port"] for port in result["ports"] if not port.get("ok", True)]
    if not failed:
        return None
    return Failed(f"not unloaded: {', '.join(map(str, failed))}", "mlxops status", ports=failed)
