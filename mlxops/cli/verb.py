"""What all verbs share: the global options before and after the verb, and help with examples, also
as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from .run import Answer, Flags, Run

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

MAX_HELP_WIDTH = 100
"""A wider terminal gets help of this width."""


class HelpRequested(Exception):
    """--help was found while parsing; carries the text."""


def store_flag(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Store an option in the flags, wherever it stands; one after the verb wins."""
    run = ctx.find_object(Run)
    flags = run.flags if run else Flags()
    if (
        param.name
        and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
    ):
        setattr(flags, param.name, value)


def _store_hosts(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    store_flag(ctx, param, ",".join(value))


def complete_hosts(ctx: click.Context, param: click.Parameter, prefix: str) -> list[str]:
    from ..agent.errors import MlxopsError
    from ..hosts.files import available

    run = ctx.find_object(Run)
    try:
        known = available(run.flags.hosts_dir if run else None)
    except MlxopsError:
        return []
    before, comma, last = prefix.rpartition(",")
    return [before + comma + name for name in known if name.startswith(last)]


def _global_options(hidden: bool) -> list[click.Option]:
    def option(*names: str, text: str, **more: Any) -> click.Option:
        settings = {"expose_value": False, "callback": store_flag, "hidden": hidden, **more}
        return click.Option(list(names), help=text, **settings)

    return [
        option(
            "--host",
            metavar="NAME,...",
            multiple=True,
            callback=_store_hosts,
            shell_complete=complete_hosts,
            text="Host(s), or --all",
        ),
        # Hidden: the help of --host names it, and so fits on a screen.
        option("--all", "every_host", is_flag=True, hidden=True, text="Use all hosts"),
        option("--hosts-dir", metavar="DIR", type=click.Path(), text="Folder of host files"),
        option("--local", is_flag=True, text="Run here, no SSH"),
        option("--json", is_flag=True, text="Print JSON"),
        option("-q", "--quiet", is_flag=True, text="Only answers and news"),
        option("-v", "--verbose", is_flag=True, text="Show server logs"),
        option("--debug", is_flag=True, text="Show tracebacks"),
        # As in the crontab line: with the login of the host file's [cron] table.
        option("--cron", is_flag=True, hidden=True, text="Use the login of [cron]"),
    ]


def _needless_yes() -> click.Option:
    """--yes of a verb that asks nothing: accepted, as a habit or a script may give it."""
    return click.Option(
        ["-y", "--yes"], is_flag=True, expose_value=False, hidden=True, help="Nothing is asked."
    )


def _help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        raise HelpRequested(ctx.get_help())


class BaseCommand(click.Command):
    """The base of the program and of every verb."""

    verb = True

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **more: Any) -> None:
        more.setdefault("context_settings", {"max_content_width": MAX_HELP_WIDTH})
        super().__init__(*args, **more)
        self.examples = examples
        # `unload --all` is an option of the verb, not the global one.
        own = {name for param in self.params for name in param.opts}
        self.params += [
            option for option in _global_options(hidden=self.verb) if own.isdisjoint(option.opts)
        ]
        if self.verb and "--yes" not in own:
            self.params.append(_needless_yes())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        self.note_json(ctx, args)
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Also the second word of a verb of two words."""
        from click.shell_completion import CompletionItem

        from .words.verbs import second_words

        words = [word for word in second_words(self.name or "") if word.startswith(incomplete)]
        return [*map(CompletionItem, words), *super().shell_complete(ctx, incomplete)]

    def note_json(self, ctx: click.Context, args: list[str]) -> None:
        """Look for --json or -o json before parsing, so that a usage error is reported so too.

        click's own parser distinguishes the flag from an equal value of another option, and from
        anything after --."""
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
            options, _, _ = parser.parse_args(args=[*args])
        finally:
            ctx.resilient_parsing = resilient
        output = options.get("output")
        if output in ("json", "yaml"):
            run.flags.output = output
        run.flags.json = run.flags.json or bool(options.get("json")) or output in ("json", "yaml")

    def get_help_option(self, ctx: click.Context) -> click.Option:
        return click.Option(
            ["-h", "--help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_help,
            help="Show this help.",
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Only the texts of the options: they name defaults and ranges themselves."""
        records = [
            (record[0], param.help or "")
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx))
        ]
        with formatter.section("Options"):
            formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        formatter.write("\nGlobal options such as --host and --json: mlxops --help\n")


Given = dict[str, Any]
Reads = bool | Callable[[Given], bool]


def verb(
    name: str, *examples: str, reads: Reads = False, together: Reads = False
) -> Callable[[Callable[..., Answer]], click.Command]:
    """Make a command of this name from a function that takes the Run, then the parsed arguments.

    `reads`: whether it changes nothing, so that it can be called for each of several hosts; or a
    function that decides by the parsed arguments. `together`: whether the function itself works on
    all of them (`host_names`), or needs none."""

    def decorate(function: Callable[..., Answer]) -> click.Command:
        return click.command(name, cls=BaseCommand, examples=examples)(
            click.pass_obj(_on_each_host(name, _translate_os_errors(function), (reads, together)))
        )

    return decorate


def only_with(option: str) -> Callable[[Given], bool]:
    """For `reads`: the verb changes nothing if this option is given."""
    return lambda given: bool(given[option])


def unless(option: str) -> Callable[[Given], bool]:
    """For `reads`: the verb changes nothing without this option."""
    return lambda given: not given[option]


def _on_each_host(
    name: str, function: Callable[..., Answer], uses: tuple[Reads, Reads]
) -> Callable[..., Answer]:
    """Call the function once for each host that --host or --all names."""

    @wraps(function)
    def on_each_host(run: Run, **given: Any) -> Answer:
        if not run.flags.several_hosts:
            return function(run, **given)
        reads, together = (one(given) if callable(one) else one for one in uses)
        if together:
            return function(run, **given)
        from .hosts.many import answer_of_each, one_host_only

        if not reads:
            raise one_host_only(run, name)
        return answer_of_each(run, function, given)

    return on_each_host


def _translate_os_errors(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Name OSError and EOFError before click sees them.

    click takes every broken pipe for a closed stdout, and every EOFError for Ctrl-C."""

    @wraps(function)
    def translated(*args: Any, **more: Any) -> Answer:
        try:
            return function(*args, **more)
        except (OSError, EOFError) as exc:
            from .errors import as_mlxops_error

            raise as_mlxops_error(exc) from exc

    return translated
