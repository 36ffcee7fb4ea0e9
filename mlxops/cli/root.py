"""The program: its verbs in groups, each imported only when it is called."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from itertools import zip_longest

import click

from ..agent.errors import Usage
from .run import Run
from .verb import BaseCommand, HelpRequested

# group -> verb -> the module and name of its command, and its line in the help of the program
GROUPS = {
    "Everyday": {
        "status": ("ports:status", "Show every port"),
        "plan": ("plan:plan", "Show what apply would do"),
        "apply": ("plan:apply", "Carry out the plan"),
        "load": ("load:load", "Load a model on a port"),
        "unload": ("ports:unload", "Stop the server on a port"),
        "unload-all": ("ports:unload_all", "Stop all servers"),
        "logs": ("logs:logs", "Show a server's log"),
        "jobs": ("jobs:jobs", "List loads and unloads"),
    },
    "Models": {
        "list": ("entries:list_", "List the entries"),
        "show": ("entries:show", "Show an entry or a port"),
        "fit": ("fit:fit", "Check if a model fits"),
        "search": ("search:search", "Search the Hub"),
        "init": ("entries:init", "Add all cached models"),
        "register": ("register:register", "Add one entry"),
        "set": ("entries:set_", "Change an entry"),
        "remove": ("entries:remove", "Remove an entry"),
    },
    "Repair": {
        "doctor": ("doctor:doctor", "Check client and host"),
        "reconcile": ("reconcile:reconcile", "Free ports of dead servers"),
        "verify": ("verify:verify", "Test servers with requests"),
        "follow": ("jobs:follow", "Watch a running job"),
        "cancel": ("jobs:cancel", "Cancel a running job"),
        "lock": ("jobs:lock", "Show who holds the locks"),
    },
    "Set-up": {
        "hosts": ("hosts:hosts", "List the host files"),
        "cron": ("cron:cron", "Print a crontab line"),
        "authorize": ("authorize:authorize", "Restrict an SSH key"),
        "completion": ("program:completion", "Print shell completion"),
        "demo": ("program:demo", "Try it on this machine"),
        "version": ("program:version", "Print the version"),
    },
}
VERBS = {verb: where for group in GROUPS.values() for verb, (where, _) in group.items()}
SHORT_HELP = {verb: text for group in GROUPS.values() for verb, (_, text) in group.items()}
COLUMN = 41
"""Width of the left column of the help, in characters."""


class Root(BaseCommand, click.Group):
    """Finds its verbs in VERBS."""

    verb = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise HelpRequested(ctx.get_help())
        if args[:1] == ["--version"]:
            args = ["version", *args[1:]]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f".verbs.{module}", __package__), attribute)
        command.short_help = SHORT_HELP[cmd_name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == "help":
            args = self._help_args(ctx, args[1:])
        if not args[0].startswith("-") and args[0] not in VERBS:
            BaseCommand(args[0]).note_json(ctx, args[1:])
            raise _unknown_verb(args[0])
        run = ctx.find_object(Run)
        if run:
            run.command = args[0]
        return super().resolve_command(ctx, args)

    def _help_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`help VERB` as `VERB --help`; HelpRequested for the program without a verb."""
        BaseCommand("help").note_json(ctx, args)
        if not args or args[0].startswith("-"):
            raise HelpRequested(ctx.get_help())
        if args[0] not in VERBS:
            raise _unknown_verb(args[0])
        return [args[0], "--help", *args[1:]]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs in two columns and the options below them: one screen of 80x24."""
        groups = [_group(name) for name in GROUPS]
        lines = [
            "Usage: mlxops [OPTIONS] VERB [ARGUMENTS]      Details: mlxops VERB --help",
            "",
            *_columns(groups[0], groups[1]),
            *_columns(groups[2], groups[3]),
            "Options (also after the verb)",
            *_columns(*self._option_lines(ctx)),
        ]
        formatter.write("\n".join(lines) + "\n")

    def _option_lines(self, ctx: click.Context) -> tuple[list[str], list[str]]:
        records = [
            record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))
        ]
        half = len(records) // 2
        return (
            [f"  {names:<15}  {text.rstrip('.')}" for names, text in records[:half]],
            [f"  {names:<13}  {text.rstrip('.')}" for names, text in records[half:]],
        )


def _group(name: str) -> list[str]:
    return [name, *(f"  {verb:<10}  {text}" for verb, (_, text) in GROUPS[name].items())]


def _columns(left: list[str], right: list[str]) -> Iterator[str]:
    for one, other in zip_longest(left, right, fillvalue=""):
        yield f"{one:<{COLUMN}}{other}".rstrip()


# Names that other tools use for these verbs.
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
    "up": "apply",
    "sync": "apply",
    "restore": "apply",
    "diff": "plan",
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


def _unknown_verb(word: str) -> Usage:
    import difflib

    known = SYNONYMS.get(word.lower())
    if known:
        return Usage(f"unknown verb {word!r}", f"mlxops {known}", word=word)
    near = difflib.get_close_matches(word.lower(), VERBS, 1, cutoff=0.7)
    text = f"unknown verb {word[:50]!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
    return Usage(text, f"mlxops {near[0]} --help" if near else "mlxops --help", word=word)


root = Root("mlxops", help="Choose which MLX model serves on which port of a host.")
