"""The verb register."""

from __future__ import annotations

import os
from typing import Any

import click

from ...agent.errors import Usage
from ...render.actions import change_summary, plan_summary
from .. import options
from ..run import Answer, Run
from ..verb import verb
from ..words.models import AROUND, model_at


@verb(
    "register",
    "mlxops register coder mlx-community/Qwen3-Coder-30B-A3B-4bit --slot 8100",
    "mlxops register coder org/name --arg --context-length --arg 32768",
    "mlxops register coder-long org/name --again --arg=--max-tokens --arg 9000",
    "mlxops register my-fused --path /Users/me/models/my-fused",
    "mlxops register --slots --dry-run",
)
@click.argument("name", required=False)
@click.argument("repo", required=False)
@click.option(
    "--path", metavar="DIR", help="Folder on the host with a local model, in place of REPO."
)
@click.option(
    "--slots", is_flag=True, help="Register the models planned in the host file's slots instead."
)
@click.option("--again", is_flag=True, help="Add it even if REPO has an entry with another name.")
@click.option(
    "--slot",
    metavar="PORT",
    shell_complete=options.completion("ports"),
    help="Port or slot name planned for the model.",
)
@click.option("--chat-template", metavar="FILE", help="Chat template file on the host.")
@click.option(
    "--tool-call-parser",
    metavar="PARSER",
    shell_complete=options.completion("parsers"),
    help="Parser for tool calls (default: by model family).",
)
@click.option(
    "--reasoning-parser",
    metavar="PARSER",
    shell_complete=options.completion("parsers"),
    help="Parser for reasoning (default: by model family).",
)
@click.option(
    "--runtime",
    metavar="RUNTIME",
    shell_complete=options.completion("runtimes"),
    help="Server program (default: host file).",
)
@options.revision()
@click.option(
    "--arg",
    "args",
    multiple=True,
    metavar="ARG",
    help="Extra argument for the server (repeatable).",
)
@click.option(
    "--rank",
    "hosts",
    multiple=True,
    metavar="NAME=IP",
    help="Host that runs a part of the model (repeatable; see docs/distributed.md).",
)
@options.dry_run()
def register(run: Run, slots: bool, dry_run: bool, **entry: Any) -> Answer:
    """Add the entry NAME for REPO (org/name). Nothing is downloaded.

    With --path, the model is the folder DIR on the host, such as one of LM Studio, and is never
    looked for on the Hub. NAME may then be left out: the folder's name is used.

    If NAME is an entry of REPO already, nothing changes. If only another name is, the exit status
    is 7, unless --again asks for a second entry, to serve one model with different settings.

    With --slots, add an entry for every model that the host file plans for a slot."""
    _require_slots_or_entry(slots, entry)
    if not slots:
        slot = run.host.port(entry["slot"]) if entry["slot"] else None
        entry["name"] = (entry["name"] or "").strip(AROUND) or None
        if entry["path"]:
            entry["path"] = _path_on_host(run, entry["path"])
        else:
            repo = model_at(entry["repo"], entry["revision"])
            entry |= {"repo": repo.name, "revision": repo.revision}
        entry = {**entry, "slot": slot, "args": [*entry["args"]], "hosts": [*entry["hosts"]]}
    return Answer(
        run.call("register", {**({"slots": True} if slots else entry), "dry_run": dry_run}),
        plan_summary if dry_run else change_summary,
    )


def _path_on_host(run: Run, path: str) -> str:
    """The path; for a host that is this machine, a relative one counts from the current folder."""
    local = run.host.transport == "local" and not path.startswith(("/", "~"))
    return os.path.join(os.getcwd(), path) if local else path


def _require_slots_or_entry(slots: bool, entry: dict[str, Any]) -> None:
    """Raise Usage unless the arguments are NAME and REPO, --path with or without NAME, or --slots
    alone."""
    keys = [key for key, value in entry.items() if value]
    if slots and keys:
        raise Usage(f"--slots cannot be used with {', '.join(keys)}", "mlxops register --slots")
    wrong = "repo" if entry["repo"] else "revision" if entry["revision"] else ""
    if entry["path"] and wrong:
        text = f"--path cannot be used with {wrong}: a local model has no repository"
        raise Usage(text, "mlxops register NAME --path DIR")
    if not slots and not entry["path"] and not (entry["name"] and entry["repo"]):
        raise Usage(
            "missing NAME and REPO",
            "mlxops register NAME ORG/NAME, mlxops register NAME --path DIR, "
            "or mlxops register --slots",
        )
