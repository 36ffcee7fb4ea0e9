"""The verb status."""

from __future__ import annotations

from typing import Any

import click

from ...agent.errors import DriftFound, Usage
from ...render.status import LISTING, WATCHED, status_problems
from ...render.status import deep as deep_text
from ...render.status import status as status_text
from .. import options, reporting
from ..check_errors import drift_error, port_errors, registry_fault
from ..reporting import Reporting
from ..run import Answer, Result, Run
from ..verb import only_with, verb
from ..words.ports import port_words

WATCH_INTERVAL_S = 2.0


@verb(
    "status",
    "mlxops status",
    "mlxops status 8100 jerry-l",
    "mlxops status --check || echo 'the Studio needs a look'",
    "mlxops status --deep",
    "mlxops status --all",
    "mlxops status --check -q --notify 'mail -s \"$MLXOPS_SUMMARY\" me'",
    "mlxops status --watch               # ? shows the keys, q quits",
    "mlxops status -w --json             # a line for each change",
    reads=True,
    together=only_with("watched"),
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
@reporting.notify_option()
@reporting.metrics_option()
@options.timeout("Time limit per port for --deep (default 300).")
@click.option(
    "-w",
    "--watch",
    "watched",
    is_flag=True,
    help="Keep the table up to date, with jobs and events; sends no requests (docs/watch.md).",
)
@options.interval(f"Time between two updates of --watch (default {WATCH_INTERVAL_S:g}).")
@options.listing(LISTING, WATCHED)
def status(
    run: Run, ports: tuple[str, ...], watched: bool, interval_s: float | None, **more: Any
) -> Answer:
    """Show every port: what the registry says, what is running, and whether it answers.

    "-" means unknown. DRIFT names a difference between registry and host; the lines below the table
    give its reason and the next command. With --check -q, only those are shown."""
    if watched:
        _refuse(next((name for name, value in more.items() if value), None))
        from .live import watch

        return watch(run, ports, interval_s or WATCH_INTERVAL_S)
    if interval_s is not None:
        raise Usage("--interval needs --watch", "mlxops status --watch")
    return _status(run, ports, **more)


def _refuse(other: str | None) -> None:
    """Usage if there is another option beside --watch."""
    if other:
        option = f"--{other.removesuffix('_s')}"
        raise Usage(f"--watch cannot be used with {option}", "mlxops status --watch")


def _status(
    run: Run,
    ports: tuple[str, ...],
    check: bool,
    deep: bool,
    notify: str | None,
    metrics: str | None,
    timeout_s: float | None,
) -> Answer:
    chosen = port_words(run.host, ports) or None
    if timeout_s is not None and not deep:
        raise Usage(
            "--timeout needs --deep; without it, status takes at most 2 seconds",
            "mlxops status --deep",
        )
    if notify is not None and not check:
        raise Usage("--notify needs --check", "mlxops status --check --notify CMD")
    if metrics is not None and chosen:
        raise Usage("--metrics covers every port; leave out PORT", "mlxops status --metrics FILE")
    outlets = Reporting(run, "status", notify, metrics)
    outlets.require_own_file()
    more = {"deep": True, "timeout_s": timeout_s} if deep else {}
    fresh = {"fresh": True} if check else {}
    with outlets.failures():
        result = run.call("status", {"ports": chosen, **fresh, **more, **outlets.args})
    fault = registry_fault(result)
    text = deep_text if deep else status_text
    if check and run.flags.quiet:
        text = status_problems
    if fault:
        outlets.deliver_failure(fault, result)
        outlets.warn()
        return Answer(result, text, fault)
    return outlets.answer(Answer(result, text, _check_error(result) if check else None))


def _check_error(result: Result) -> DriftFound | None:
    wrong = port_errors([port for port in result["ports"] if not port.get("drift")], [])
    return drift_error(result) or wrong
