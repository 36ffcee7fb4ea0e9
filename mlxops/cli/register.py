"""The verb that adds an entry by hand, or the host file's plans."""

from __future__ import annotations

from typing import Any

import click

from ..agent.errors import Usage
from ..render.actions import change_summary
from . import options
from .run import Answer, Run
from .verb import verb


@verb(
    "register",
    "mlxops register jerry-xl mlx-community/Qwen3-235B-A22B-Instruct-2507-6bit --slot 8100",
    "mlxops register coder org/name --tool-call-parser qwen3_coder --arg --context-length --arg 32768",
    "mlxops register --slots --dry-run",
)
@click.argument("name", required=False)
@click.argument("repo", required=False)
@click.option(
    "--slots", is_flag=True, help="Instead: write the slots planned in the host file as intents."
)
@click.option("--slot", metavar="PORT", help="The port planned for it.")
@click.option("--chat-template", metavar="FILE", help="A template file on the host.")
@click.option("--tool-call-parser", metavar="P")
@click.option("--reasoning-parser", metavar="P")
@click.option("--runtime", metavar="R", help="The server program; default: the host file's.")
@click.option("--revision", metavar="R", help="Branch, tag or commit; default: main.")
@click.option(
    "--arg",
    "args",
    multiple=True,
    metavar="A",
    help="A further word of the server's command; repeatable.",
)
@click.option(
    "--rank",
    "hosts",
    multiple=True,
    metavar="NAME=IP",
    help="A host that runs a part of it; see the docs.",
)
@options.dry_run()
def register(run: Run, slots: bool, dry_run: bool, **entry: Any) -> Answer:
    """Add an entry NAME for the repo REPO (org/name). Nothing is downloaded."""
    _require_slots_or_entry(slots, entry)
    if not slots:
        slot = run.host.port(entry["slot"]) if entry["slot"] else None
        entry = {**entry, "slot": slot, "args": [*entry["args"]], "hosts": [*entry["hosts"]]}
    return Answer(
        run.call("register", {**({"slots": True} if slots else entry), "dry_run": dry_run}),
        change_summary,
    )


def _require_slots_or_entry(slots: bool, entry: dict[str, Any]) -> None:
    """Usage unless it is --slots alone or NAME and REPO."""
    given = [key for key, value in entry.items() if value]
    if slots and given:
        raise Usage(f"--slots goes without {', '.join(given)}", "mlxops register --slots")
    if not slots and not (entry["name"] and entry["repo"]):
        raise Usage(
            "NAME and REPO are needed", "mlxops register NAME ORG/NAME, or mlxops register --slots"
        )
