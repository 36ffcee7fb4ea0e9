"""Verbs about ports: what they do, and how to empty them."""

from __future__ import annotations

import click

from ..agent.errors import DriftFound, Failed
from ..render.actions import supposed
from ..render.ports import all_unloaded, unloaded
from ..render.status import status as status_text
from . import words
from .invocation import Answer, Invocation, Result
from .verb import verb


@verb("status", "mlxops status", "mlxops status 8100 jerry-l", "mlxops status --check || echo look at it")
@words.port("wanted", nargs=-1, metavar="[PORT]...")
@click.option("--check", is_flag=True, help="Exit with 11 where registry and host differ.")
def status(it: Invocation, wanted: tuple[str, ...], check: bool) -> Answer:
    """Every port: registry, processes and HTTP answer side by side.

    A dash is a figure nobody knows.
    """
    result = it.ask("status", {"ports": [it.host.port(word) for word in wanted] or None})
    return Answer(result, status_text, drift_found(result) if check else None)


def drift_found(result: Result) -> DriftFound | None:
    """What a command asked to check ends with, where there is drift."""
    drift = result.get("drift") or []
    if not drift:
        return None
    kinds = ", ".join(sorted({str(one["drift"]) for one in drift}))
    return DriftFound(f"drift found: {kinds}", "mlxops status", drift=drift)


@verb("unload", "mlxops unload 8104", "mlxops unload jerry-xl --grace 120", "mlxops unload 8104 --dry-run")
@words.port("wanted")
@words.grace()
@words.dry_run()
def unload(it: Invocation, wanted: str, grace_s: float | None, dry_run: bool) -> Answer:
    """Stop the server on a port, prove it stopped, and clear the assignment."""
    args = {"port": it.host.port(wanted), "grace_s": grace_s, "dry_run": dry_run}
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
