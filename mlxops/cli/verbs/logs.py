"""The verb logs."""

from __future__ import annotations

import re
from typing import Any

import click

from ...agent.errors import MlxopsError, Usage, from_wire
from ...agent.wire import values
from ...render.format import counted
from ...render.log import LogText
from .. import options
from ..run import Answer, Result, Run
from ..until_interrupt import until_interrupt
from ..verb import unless, verb
from ..words.moments import Moment
from ..words.ports import port_words

DEFAULT_LINES = 50


@verb(
    "logs",
    "mlxops logs 8100",
    "mlxops logs jerry-xl -n 200",
    "mlxops logs qwen3-4b -f --grep 'ERROR|WARNING'",
    "mlxops logs 8100 8101 --since 10m -t",
    "mlxops logs 8100 --previous         # after a failed load",
    reads=unless("follow"),
)
@options.port("ports", nargs=-1, metavar="PORT...", required=True)
@click.option(
    "-n",
    "--lines",
    type=options.WholeNumber(0, values.MAX_LINES),
    metavar="N",
    help=f"Number of lines (default {DEFAULT_LINES}, or all with --since and --grep).",
)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines; Ctrl-C stops.")
@click.option(
    "-p",
    "--previous",
    is_flag=True,
    help="Show the log of the previous server, for example of a failed start.",
)
@click.option(
    "--since",
    type=Moment(),
    metavar="TIME",
    help="Only lines since then: 30s, 10m, 2h, yesterday, 2026-11-28T19:30.",
)
@click.option("--grep", metavar="REGEX", help="Only lines that match a regular expression.")
@click.option(
    "-t",
    "--timestamps",
    is_flag=True,
    help="Show the time of each line, in UTC, where the line has one.",
)
def logs(
    run: Run, ports: tuple[str, ...], timestamps: bool, lines: int | None, **more: Any
) -> Answer:
    """Show the last lines of the log of the server on PORT.

    PORT is a port, a slot or a model. For a model that is not loaded, it is the log of its last
    start, as long as that is kept."""
    args = _arguments(run, ports, lines, **more)
    several = len(args.get("ports", [])) > 1
    text = LogText(
        run.console.note if run.flags.json else run.console.print_now,
        gather=run.flags.json,
        several=several,
        timestamps=timestamps,
    )

    def on_event(event: Result) -> None:
        if event.get("event") != "log":
            run.progress(event)
            return
        run.progress.leave_terminal()
        text.event(event)

    def fetch() -> Answer:
        result = text.whole(run.call("logs", args, on_event))
        if not run.flags.quiet:
            for row in result.get("logs", [result]):
                _note_few(run, row, lines or 1, several, "grep" in args or "since" in args)
        return Answer(result, text.rest, _first_error(result), verbatim=True)

    return until_interrupt(fetch, "") if more["follow"] else fetch()


def _arguments(
    run: Run,
    ports: tuple[str, ...],
    lines: int | None,
    follow: bool,
    previous: bool,
    since: str | None,
    grep: str | None,
) -> Result:
    if follow and previous:
        raise Usage(
            "--follow cannot be used with --previous: that log is complete",
            f"mlxops logs {ports[0]} --previous",
        )
    words = port_words(run.host, ports)
    args: Result = {"port": words[0]} if len(words) == 1 else {"ports": words}
    args["follow"] = follow
    if lines is None and since is None and grep is None:
        lines = DEFAULT_LINES
    given = {
        "lines": lines,
        "previous": previous or None,
        "since": since,
        "grep": None if grep is None else _pattern(grep),
    }
    return {**args, **{key: value for key, value in given.items() if value is not None}}


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as exc:
        raise Usage(f"--grep {text!r} is not a regular expression: {exc}") from None
    return text


def _note_few(run: Run, row: Result, lines: int, several: bool, chosen: bool) -> None:
    """Note that the log has fewer lines than the user asked for. `chosen`: by time or pattern."""
    found = row.get("found", lines)
    if found < lines:
        such = " of these" if chosen else ""
        few = f"has only {counted(found, 'line')}{such}" if found else "is empty"
        few = "has no such line" if chosen and not found else few
        which = f" of {row['port']}" if several else ""
        run.console.note(f"mlxops: the log{which} {few}")


def _first_error(result: Result) -> MlxopsError | None:
    errors = [row["error"] for row in result.get("logs", []) if row.get("error")]
    return from_wire(errors[0]) if errors else None
