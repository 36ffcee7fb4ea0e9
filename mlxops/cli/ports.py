"""Verbs about ports: what they do, and how to empty them."""

from __future__ import annotations

import click

from ..agent.errors import DriftFound, Failed, Usage, from_wire
from ..render.actions import supposed
from ..render.ports import all_unloaded, unloaded
from ..render.status import deep as deep_text
from ..render.status import status as status_text
from . import words
from .findings import differences, drift_found
from .invocation import Answer, Invocation, Result
from .verb import verb


@verb("status", "mlxops status", "mlxops status 8100 jerry-l", "mlxops status --check || echo look at it",
      "mlxops status --deep")
@words.port("wanted", nargs=-1, metavar="[PORT]...")
@click.option("--check", is_flag=True, help="Exit with 11 where registry and host differ or a server is broken.")
@click.option("--deep", is_flag=True, help="Put each server to the proof as verify does: its pace, and a verdict.")
@words.timeout("Seconds the requests of --deep to one port may take together; default: 300.")
def status(it: Invocation, wanted: tuple[str, ...], check: bool, deep: bool, timeout_s: float | None) -> Answer:
    """Every port: registry, processes and HTTP answer side by side.

    A dash is a figure nobody knows.
    """
    ports = [it.host.port_word(word) for word in wanted] or None
    if timeout_s is not None and not deep:
        raise Usage("--timeout goes with --deep: a plain look takes two seconds at most", "mlxops status --deep")
    more = {"deep": True, "timeout_s": timeout_s} if deep else {}
    result = it.ask("status", {"ports": ports, **({"fresh": True} if check else {}), **more})
    fault = from_wire(result["error"]) if result.get("error") else None
    return Answer(result, deep_text if deep else status_text, fault or (_differs(result) if check else None))


def _differs(result: Result) -> DriftFound | None:
    wrong = differences([port for port in result["ports"] if not port.get("drift")], [])
    return drift_found(result) or wrong


@verb("unload", "mlxops unload 8104", "mlxops unload jerry-xl --grace 120", "mlxops unload 8104 --dry-run")
@words.port("wanted")
@words.grace()
@words.dry_run()
def unload(it: Invocation, wanted: str, grace_s: float | None, dry_run: bool) -> Answer:
    """Stop the server on a port, prove it stopped, and clear the assignment."""
    args = {"port": it.host.port_word(wanted), "grace_s": grace_s, "dry_run": dry_run}
    return Answer(it.ask("unload", args), supposed(unloaded) if dry_run else unloaded)


@verb("unload-all", "mlxops unload-all", "mlxops unload-all --dry-run")
@words.grace()
@words.dry_run()
def unload_all(it: Invocation, grace_s: float | None, dry_run: bool) -> Answer:
    """Stop every server of ours and clear every assignment.

    One port that cannot be emptied does not keep the others; the exit status is then 1.
    """
    result = it.ask("unload-all", {"grace_s": grace_s, "dry_run": dry_run})
    return Answer(result, supposed(all_unloaded) if dry_run else all_unloaded, _some_failed(result))


def _some_failed(result: Result) -> Failed | None:
    failed = [port["port"] for port in result["ports"] if not port.get("ok", True)]
    if not failed:
        return None
    return Failed(f"not unloaded: {', '.join(map(str, failed))}", "mlxops status", ports=failed)
