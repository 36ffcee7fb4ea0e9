"""The program itself: its verbs, each imported only when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from ..agent.errors import Usage
from .run import Run
from .verb import BaseCommand, HelpRequested

# verb -> the module and the name of its command
VERBS = {
    "status": "ports:status",
    "list": "entries:list_",
    "fit": "fit:fit",
    "load": "load:load",
    "unload": "ports:unload",
    "unload-all": "ports:unload_all",
    "reconcile": "reconcile:reconcile",
    "verify": "verify:verify",
    "show": "entries:show",
    "logs": "logs:logs",
    "jobs": "jobs:jobs",
    "follow": "jobs:follow",
    "cancel": "jobs:cancel",
    "lock": "jobs:lock",
    "init": "entries:init",
    "register": "register:register",
    "set": "entries:set_",
    "remove": "entries:remove",
    "doctor": "doctor:doctor",
    "search": "search:search",
    "hosts": "hosts:hosts",
    "cron": "cron:cron",
    "authorize": "authorize:authorize",
    "completion": "program:completion",
    "demo": "program:demo",
    "version": "program:version",
}


class Root(BaseCommand, click.Group):
    """Finds its verbs in VERBS."""

    verb = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise HelpRequested(ctx.get_help())
        if args[:1] == ["help"]:
            args = [*(word for word in args[1:2] if word in VERBS), "--help"]
        args = [
            "version" if word == "--version" and at == 0 else word for at, word in enumerate(args)
        ]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in VERBS:
            BaseCommand(args[0]).note_json(ctx, args[1:])
            raise _unknown_command(args[0])
        run = ctx.find_object(Run)
        if run:
            run.command = args[0]
        return super().resolve_command(ctx, args)


# What other tools call it.
SYNONYMS = {
    "ls": "list",
    "models": "list",
    "ps": "status",
    "top": "status",
    "info": "show NAME",
    "describe": "show NAME",
    "get": "show NAME",
    "rm": "remove NAME",
    "delete": "remove NAME",
    "rename": "register NEW org/name",
    "stop": "unload PORT",
    "kill": "unload PORT",
    "down": "unload-all",
    "stop-all": "unload-all",
    "start": "load MODEL PORT",
    "run": "load MODEL PORT",
    "serve": "load MODEL PORT",
    "up": "load MODEL PORT",
    "restart": "load MODEL PORT --replace",
    "swap": "load MODEL PORT --replace",
    "pull": "load org/name PORT",
    "download": "load org/name PORT",
    "log": "logs PORT",
    "tail": "logs PORT -f",
    "watch": "follow",
    "history": "jobs",
    "check": "doctor",
    "config": "hosts",
    "find": "search WORDS",
    "add": "register NAME org/name",
}


def _unknown_command(word: str) -> Usage:
    import difflib

    known = SYNONYMS.get(word.lower())
    if known:
        return Usage(f"unknown command {word!r}", f"mlxops {known}", word=word)
    near = difflib.get_close_matches(word.lower(), VERBS, 1, cutoff=0.7)
    text = f"unknown command {word[:50]!r}" + (f" (did you mean {near[0]}?)" if near else "")
    return Usage(text, "mlxops --help", word=word)


root = Root(
    "mlxops",
    help="Decide which MLX model serves on which port of the host. Models are named by their entry, their repo or a "
    "unique part of it; ports by their number, their slot's name, or the name of the entry loaded there.",
    examples=(
        "mlxops status",
        "mlxops load mlx-community/Qwen3-4B-4bit 8104",
        "mlxops --host studio unload jerry-xl",
        "mlxops list --json",
    ),
)
