"""The verb that shows a server's log."""

from __future__ import annotations

import click

from ..agent.errors import Usage
from ..agent.wire import values
from ..render.log import LogText
from . import options as words
from .invocation import Answer, Invocation, Result
from .verb import verb
from .watch import watched


@verb(
    "logs",
    "mlxops logs 8100",
    "mlxops logs jerry-xl -n 200",
    "mlxops logs 8100 -f",
    "mlxops logs 8100 --previous",
)
@words.port("wanted")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, values.MOST_LINES),
    default=50,
    show_default=True,
    metavar="N",
    help="How many of the last lines.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with every new line, until Ctrl-C.")
@click.option(
    "-p",
    "--previous",
    is_flag=True,
    help="The log of the server before, such as one that failed to start.",
)
def logs(it: Invocation, wanted: str, lines: int, follow: bool, previous: bool) -> Answer:
    """Show the last lines of the log of a port's server."""
    if follow and previous:
        raise Usage(
            "--follow cannot be used with --previous: nothing is added to that log",
            "mlxops logs PORT -p",
        )
    text = LogText(it.console.say_now if not it.flags.json else it.console.note, it.flags.json)
    args = {"port": it.host.port_word(wanted), "lines": lines, "follow": follow}
    args |= {"previous": True} if previous else {}

    def on_event(event: Result) -> None:
        text.event(event) if event.get("event") == "log" else it.progress(event)

    def look() -> Answer:
        result = text.whole(it.ask("logs", args, on_event))
        if asked_for(lines) and result.get("found", lines) < lines:
            it.console.note(f"mlxops: the log has {result['found']} lines")
        return Answer(result, text.rest)

    return watched(look, "") if follow else look()


def asked_for(lines: int) -> bool:
    """Whether a number of lines was given, and is not the default."""
    source = click.get_current_context().get_parameter_source("lines")
    return source is click.core.ParameterSource.COMMANDLINE and lines > 0
