"""The verb that shows a server's log."""

from __future__ import annotations

import click

from ..agent import values
from ..render.log import LogText
from . import words
from .invocation import Answer, Invocation, Result
from .verb import verb
from .watching import watched


@verb("logs", "mlxops logs 8100", "mlxops logs jerry-xl -n 200", "mlxops logs 8100 -f")
@words.port("wanted")
@click.option("-n", "--lines", type=click.IntRange(0, values.MOST_LINES), default=50, show_default=True, metavar="N",
              help="How many of the last lines.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on with every new line, until Ctrl-C.")
def logs(it: Invocation, wanted: str, lines: int, follow: bool) -> Answer:
    """The last lines of the log of a port's server."""
    text = LogText(it.console.say_now if not it.flags.json else it.console.note)
    args = {"port": it.host.port_word(wanted), "lines": lines, "follow": follow}

    def on_event(event: Result) -> None:
        text.event(event) if event.get("event") == "log" else it.progress(event)

    def look() -> Answer:
        return Answer(it.ask("logs", args, on_event), text.rest)

    return watched(look, "") if follow else look()
