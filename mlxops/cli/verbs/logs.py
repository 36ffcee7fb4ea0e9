"""The verb logs."""

from __future__ import annotations

import shlex

import click

from ...agent.errors import Usage
from ...agent.wire import values
from ...render.log import LogText
from .. import options
from ..run import Answer, Result, Run
from ..verb import unless, verb
from ..watch import watch_until_interrupt
from ..words.ports import port_word


@verb(
    "logs",
    "mlxops logs 8100",
    "mlxops logs jerry-xl -n 200",
    "mlxops logs 8100 -f",
    "mlxops logs 8100 --previous",
    reads=unless("follow"),
)
@options.port()
@click.option(
    "-n",
    "--lines",
    type=options.WholeNumber(0, values.MAX_LINES),
    default=50,
    metavar="N",
    help="Number of lines (default 50).",
)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines; Ctrl-C stops.")
@click.option(
    "-p",
    "--previous",
    is_flag=True,
    help="Show the log of the previous server, for example of a failed start.",
)
def logs(run: Run, port: str, lines: int, follow: bool, previous: bool) -> Answer:
    """Show the last lines of the log of the server on PORT."""
    if follow and previous:
        raise Usage(
            "--follow cannot be used with --previous: that log is complete",
            f"mlxops logs {shlex.quote(port)} -p",
        )
    text = LogText(
        run.console.print_now if not run.flags.json else run.console.note, run.flags.json
    )
    args = {"port": port_word(run.host, port), "lines": lines, "follow": follow}
    args |= {"previous": True} if previous else {}

    def on_event(event: Result) -> None:
        if event.get("event") != "log":
            run.progress(event)
            return
        run.progress.leave_terminal()
        text.event(event)

    def fetch() -> Answer:
        result = text.whole(run.call("logs", args, on_event))
        if given(lines) and result.get("found", lines) < lines:
            found = result["found"]
            few = f"has only {found} line{'s' if found > 1 else ''}" if found else "is empty"
            if not run.flags.quiet:
                run.console.note(f"mlxops: the log {few}")
        return Answer(result, text.rest, verbatim=True)

    return watch_until_interrupt(fetch, "") if follow else fetch()


def given(lines: int) -> bool:
    """Whether the user asked for a number of lines other than 0."""
    source = click.get_current_context().get_parameter_source("lines")
    return source is click.core.ParameterSource.COMMANDLINE and lines > 0
