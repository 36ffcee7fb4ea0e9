"""What all commands share: the global flags before and after the verb, examples in the help, help
also as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from .invocation import Answer, Flags, Invocation

_HOST = "Host to use. Default: $MLXOPS_HOST, then `host` in ~/.config/mlxops/config.toml, then the only host file."
_HOSTS_DIR = (
    "Folder of the host files. Default: $MLXOPS_HOSTS_DIR, else ~/.config/mlxops/hosts, then hosts/ of the checkout "
    "that mlxops runs from."
)


class HelpAsked(Exception):
    """--help was met while parsing; carries the text."""


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Note a global flag wherever it stands; the one after the verb wins."""
    invocation = ctx.find_object(Invocation)
    flags = invocation.flags if invocation else Flags()
    if (
        param.name
        and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
    ):
        setattr(flags, param.name, value)


def _hosts(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    from ..agent.errors import MlxopsError
    from ..hosts.files import available

    invocation = ctx.find_object(Invocation)
    try:
        known = available(invocation.flags.hosts_dir if invocation else None)
    except MlxopsError:
        return []
    return [name for name in known if name.startswith(begun)]


def _global_flags(hidden: bool) -> list[click.Option]:
    def option(*names: str, text: str, **more: Any) -> click.Option:
        return click.Option(
            list(names), help=text, expose_value=False, callback=_keep, hidden=hidden, **more
        )

    return [
        option("--host", metavar="NAME", shell_complete=_hosts, text=_HOST),
        option("--hosts-dir", metavar="DIR", type=click.Path(), text=_HOSTS_DIR),
        option("--local", is_flag=True, text="This machine is the host: no SSH."),
        option("--json", is_flag=True, text="Exactly one JSON document on stdout."),
        option(
            "-q",
            "--quiet",
            is_flag=True,
            text="No progress; reconcile says nothing where nothing changed.",
        ),
        option("-v", "--verbose", is_flag=True, text="The server's log lines as well."),
        option("--debug", is_flag=True, text="The traceback of an error (also: MLXOPS_DEBUG=1)."),
    ]


def _help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        raise HelpAsked(ctx.get_help())


class Shared(click.Command):
    """The base of the program and of every verb."""

    verb = True

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = examples
        self.params += _global_flags(hidden=self.verb)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        self.note_json(ctx, args)
        return super().parse_args(ctx, args)

    def note_json(self, ctx: click.Context, args: list[str]) -> None:
        """Note --json before the words are judged, so that even words that cannot be parsed are
        answered in JSON.

        click's own parser tells the flag from a value of another option that reads the same, and
        from what follows --."""
        invocation = ctx.find_object(Invocation)
        if invocation is None:
            return
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options, parser.allow_interspersed_args = (
            True,
            self.allow_interspersed_args,
        )
        resilient, ctx.resilient_parsing = ctx.resilient_parsing, True
        try:
            found, _, _ = parser.parse_args(args=[*args])
        finally:
            ctx.resilient_parsing = resilient
        invocation.flags.json = invocation.flags.json or bool(found.get("json"))

    def get_help_option(self, ctx: click.Context) -> click.Option:
        return click.Option(
            ["-h", "--help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_help,
            help="Show this text.",
        )

    def get_short_help_str(self, limit: int = 45) -> str:
        """The whole first sentence: in a list of verbs it is folded, not cut."""
        return super().get_short_help_str(limit * 4)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        if self.verb:
            formatter.write("\nThe global flags may stand here too: mlxops --help.\n")


def verb(name: str, *examples: str) -> Callable[[Callable[..., Answer]], click.Command]:
    """A command of this name; the function gets the Invocation first, then the parsed words."""

    def made(function: Callable[..., Answer]) -> click.Command:
        return click.command(name, cls=Shared, examples=examples)(
            click.pass_obj(_sheltered(function))
        )

    return made


def _sheltered(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Failures of the machine get their names before click sees them.

    It takes any broken pipe for a reader who left, and any end of a stream for Ctrl-C.
    """

    @wraps(function)
    def sheltered(*args: Any, **more: Any) -> Answer:
        try:
            return function(*args, **more)
        except (OSError, EOFError) as exc:
            from .errors import named

            raise named(exc) from exc

    return sheltered
