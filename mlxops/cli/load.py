"""The verb that puts a model on a port."""

from __future__ import annotations

import click

from ..agent.errors import PortBusy, from_wire
from ..render.ports import loaded
from . import words
from .invocation import Answer, Invocation, Result
from .verb import verb


@verb(
    "load",
    "mlxops load jerry-xl 8100",
    "mlxops load qwen3-4b bench-1 --replace",
    "mlxops load mlx-community/Qwen3-4B-4bit 8104 --dry-run",
)
@click.argument("model")
@words.port("wanted")
@click.option("--replace", is_flag=True, help="Stop the model that is there, without asking.")
@click.option("--force", is_flag=True, help="Even where the slot is another port, memory or mlx-lm may not do.")
@click.option("--evict", is_flag=True, help="Unload the fewest other ports that make room, where memory is short.")
@click.option("--no-rollback", is_flag=True, help="After a failure leave the port empty.")
@click.option("--revision", metavar="R", help="Branch, tag or commit to download; default: main.")
@words.timeout("Seconds it may take to become ready; default: the host file's, else by its earlier starts or its size.")
@words.grace()
@words.dry_run()
def load(it: Invocation, model: str, wanted: str, no_rollback: bool, **more: object) -> Answer:
    """Serve MODEL on PORT, and return when it truly answers.

    MODEL is an entry, a repo, or a unique part of one. Only a full org/name is ever downloaded, after its size, the
    disk and the memory were checked. If the new model fails, the previous one is started again.
    """
    args = {"model": model, "port": it.host.port(wanted), "rollback": not no_rollback, **more}
    result = _asking(it, args)
    refused = result.pop("refused", None)
    return Answer(result, loaded, from_wire(refused) if refused else None)


def _asking(it: Invocation, args: Result) -> Result:
    """The call; where the port is busy, a person at the terminal says whether it is made again with --replace."""
    try:
        return it.ask("load", args)
    except PortBusy as busy:
        # Without an occupant to stop, the port is held by something that --replace would not move either.
        if "occupant" not in busy.fields or not it.agreed(f"{busy.message}. Stop it and load {args['model']}?"):
            raise
        return it.ask("load", {**args, "replace": True})
