"""What all commands share: the global flags before and after the verb, examples in the help, help
also as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from .run import Answer, Flags, Run

_HOST = "Host to use. Default: $MLXOPS_HOST, then `host` in ~/.config/mlxops/config.toml, then the only host file."
_HOSTS_DIR = (
    "Folder of the host files. Default: $MLXOPS_HOSTS_DIR, else ~/.config/mlxops/hosts, then hosts/ of the checkout "
    "that mlxops runs from."
)


class HelpRequested(Exception):
    """--help was met while parsing; carries the text."""


def _store_flag(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Note a global flag wherever it stands; the one after the verb wins."""
    run = ctx.find_object(Run)
    flags = run.flags if run else Flags()
    if (
        param.name
        and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
    ):
        setattr(flags, param.name, value)


def _hosts(ctx: click.Context, param: click.Parameter, prefix: str) -> list[str]:
    from ..agent.errors import MlxopsError
    from ..hosts.files import available

    run = ctx.find_object(Run)
    try:
        known = available(run.flags.hosts_dir if run else None)
    except MlxopsError:
        return []
    return [name for name in known if name.startswith(prefix)]


def _global_options(hidden: bool) -> list[click.Option]:
    def option(*names: str, text: str, **more: Any) -> click.Option:
        return click.Option(
            list(names), help=text, expose_value=False, callback=_store_flag, hidden=hidden, **more
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
        raise HelpRequested(ctx.get_help())


class BaseCommand(click.Command):
    """The base of the program and of every verb."""

    verb = True

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = examples
        self.params += _global_options(hidden=self.verb)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        self.note_json(ctx, args)
        return super().parse_args(ctx, args)

    def note_json(self, ctx: click.Context, args: list[str]) -> None:
        """Note --json before the words are judged, so that even words that cannot be parsed are
        answered in JSON.

        click's own parser tells the flag from a value of another option that reads the same, and
        from what follows --."""
        run = ctx.find_object(Run)
        if run is None:
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
        run.flags.json = run.flags.json or bool(found.get("json"))

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

    def decorate(function: Callable[..., Answer]) -> click.Command:
        return click.command(name, cls=BaseCommand, examples=examples)(
            click.pass_obj(_translate_os_errors(function))
        )

    return decorate


def _translate_os_errors(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Failures of the machine get their names before click sees them.

    It takes any broken pipe for a reader who left, and any end of a stream for Ctrl-C.
    """

    @wraps(function)
    def translated(*args: Any, **more: Any) -> Answer:
        try:
            return function(*args, **more)
        except (OSError, EOFError) as exc:
            from .errors import as_mlxops_error

            raise as_mlxops_error(exc) from exc

    return translated
