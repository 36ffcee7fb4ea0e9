"""The verb status."""

from __future__ import annotations

import click

from ...agent.errors import DriftFound, Usage, from_wire
from ...render.status import LISTING, status_problems
from ...render.status import deep as deep_text
from ...render.status import status as status_text
from .. import options
from ..check_errors import drift_error, port_errors
from ..run import Answer, Result, Run
from ..verb import verb
from ..words.ports import port_words


@verb(
    "status",
    "mlxops status",
    "mlxops status 8100 jerry-l",
    "mlxops status --check || echo 'the Studio needs a look'",
    "mlxops status --deep",
    "mlxops status --all",
    reads=True,
)
@options.listing(LISTING)
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
    chosen = port_words(run.host, ports) or None
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
