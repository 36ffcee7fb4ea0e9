"""The program: its verbs in groups, each imported only when it is called."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from itertools import zip_longest

import click

from .run import Run
from .verb import BaseCommand, HelpRequested
from .words.verbs import unknown_second_word, unknown_verb, without_aliases

# group -> verb -> the module and name of its command, and its line in the help of the program
GROUPS = {
    "Everyday": {
        "status": ("status:status", "Show every port"),
        "list": ("entries:list_", "List the models"),
        "load": ("load:load", "Load a model on a port"),
        "unload": ("unload:unload", "Stop a port's server"),
        "restart": ("restart:restart", "Restart a port's server"),
        "logs": ("logs:logs", "Show a server's log"),
        "history": ("history:history", "Show who changed what"),
        "apply": ("apply:apply", "Load what is planned"),
    },
    "Models": {
        "show": ("entries:show", "Show an entry or a port"),
        "fit": ("fit:fit", "Check if a model fits"),
        "search": ("search:search", "Search the Hub"),
        "pull": ("disk:pull", "Download a model"),
        "disk": ("disk:disk", "Show and free disk space"),
        "init": ("entries:init", "Add all cached models"),
        "register": ("register:register", "Add one entry"),
        "set": ("entries:set_", "Change an entry"),
        "rename": ("entries:rename", "Rename an entry"),
        "remove": ("entries:remove", "Remove an entry"),
    },
    "Repair": {
        "doctor": ("doctor:doctor", "Check client and host"),
        "verify": ("verify:verify", "Send test requests"),
        "reconcile": ("reconcile:reconcile", "Free dead servers' ports"),
        "jobs": ("jobs:jobs", "List loads and unloads"),
        "cancel": ("jobs:cancel", "Cancel a running job"),
    },
    "Set-up": {
        "hosts": ("hosts:hosts", "List the host files"),
        "cron": ("cron:cron", "Run reconcile by cron"),
        "authorize": ("authorize:authorize", "Restrict an SSH key"),
        "completion": ("program:completion", "Print shell completion"),
        "demo": ("program:demo", "Try it on this machine"),
    },
}
HIDDEN = {
    "version": "program:version",
    "man": "program:man",
    "hosts add": "newhost:add",
    "hosts use": "newhost:use",
}
VERBS = {verb: where for group in GROUPS.values() for verb, (where, _) in group.items()}
SHORT_HELP = {verb: text for group in GROUPS.values() for verb, (_, text) in group.items()}
COLUMN = 40
"""Width of the left column of the help, in characters."""


class Root(BaseCommand, click.Group):
    """Finds its verbs in VERBS."""

    verb = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise HelpRequested(ctx.get_help())
        if args[:1] in (["--version"], ["-V"]):
            args = ["version", *args[1:]]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = VERBS.get(cmd_name) or HIDDEN.get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        command: click.Command = getattr(import_module(f".verbs.{module}", __package__), attribute)
        command.short_help = SHORT_HELP.get(cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if ctx.resilient_parsing and args == ["help"]:
            return None, None, []  # a shell completes the verb
        args = self._help_args(ctx, args[1:]) if args[0] == "help" else without_aliases(args)
        if not args[0].startswith("-") and args[0] not in (*VERBS, *HIDDEN):
            BaseCommand(args[0]).note_json(ctx, args[1:])
            raise unknown_verb(args[0], args[1:], VERBS)
        wrong = unknown_second_word(args[0], args[1]) if args[1:] else None
        if wrong is not None and not ctx.resilient_parsing:
            BaseCommand(args[0]).note_json(ctx, args[1:])
            raise wrong
        run = ctx.find_object(Run)
        if run:
            run.command = args[0]
        return super().resolve_command(ctx, args)

    def _help_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`help VERB` as `VERB --help`; HelpRequested for the program without a verb."""
        BaseCommand("help").note_json(ctx, args)
        if not args or args[0].startswith("-"):
            raise HelpRequested(ctx.get_help())
        return [without_aliases(args)[0], "--help", *args[1:]]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs and the options in two columns: one screen of 80x24."""
        groups = {name: _group(name) for name in GROUPS}
        options = ["Options, before or after the verb", *self._option_lines(ctx)]
        left = [*groups["Everyday"], *groups["Repair"], *groups["Set-up"]]
        lines = [
            "Usage: mlxops [OPTIONS] VERB [ARGUMENTS]      Details: mlxops VERB --help",
            "",
            *_columns(left, [*groups["Models"], *options]),
        ]
        formatter.write("\n".join(lines) + "\n")

    def _option_lines(self, ctx: click.Context) -> list[str]:
        records = [
            record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))
        ]
        records.insert(-1, ("-V, --version", "Print the version"))
        return [f"  {names:<15} {text.rstrip('.')}" for names, text in records]


def _group(name: str) -> list[str]:
    return [name, *(f"  {verb:<10}  {text}" for verb, (_, text) in GROUPS[name].items())]


def _columns(left: list[str], right: list[str]) -> Iterator[str]:
    for one, other in zip_longest(left, right, fillvalue=""):
        yield f"{one:<{COLUMN}}{other}".rstrip()


root = Root("mlxops", help="Choose which MLX model serves on which port of a host.")
