"""The arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, wraps
from typing import Any

import click

from ..agent.wire import values
from ..render.table import Listing
from .output import FORMATS, check_flags
from .run import Answer, Flags, Run
from .verb import store_flag

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Seconds(click.types.FloatParamType):
    """A time limit that ends: neither nan nor infinity."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return values.seconds(float(value))
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds above 0", param, ctx)


class WholeNumber(click.IntRange):
    """click's IntRange, with its errors in plain words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if (self.min is None or number >= self.min) and (self.max is None or number <= self.max):
            return number
        limits = (
            f"at least {self.min}" if self.max is None else f"between {self.min} and {self.max}"
        )
        self.fail(f"{number} is out of range: it must be {limits}", param, ctx)


def _ports(ctx: click.Context, param: click.Parameter, prefix: str) -> list[str]:
    """Complete ports and slot names of the host; nothing if it is unclear which host."""
    from ..agent.errors import MlxopsError
    from ..hosts.files import find_host

    run = ctx.find_object(Run)
    flags = run.flags if run else Flags()
    try:
        host = find_host(flags.first_host, flags.hosts_dir)
    except MlxopsError:
        return []
    words = [*map(str, host.site["ports"]), *host.slots]
    return [word for word in words if word.startswith(prefix)]


def port(name: str = "port", **more: Any) -> Decorator:
    return click.argument(name, metavar=more.pop("metavar", "PORT"), shell_complete=_ports, **more)


def job() -> Decorator:
    return click.argument("job", required=False, metavar="[JOB]", shell_complete=_ports)


def dry_run() -> Decorator:
    return click.option("--dry-run", is_flag=True, help="Show the plan; change nothing.")


def yes() -> Decorator:
    return click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


def revision() -> Decorator:
    return click.option(
        "--revision", metavar="REV", help="Branch, tag or commit of the repo (default main)."
    )


def grace() -> Decorator:
    text = "Time for a server to finish its requests before it is killed (default: host file)."
    return click.option("--grace", "grace_s", type=_Seconds(), metavar="SECONDS", help=text)


def timeout(text: str) -> Decorator:
    return click.option("--timeout", "timeout_s", type=_Seconds(), metavar="SECONDS", help=text)


def _split(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    names = [name.strip() for name in (value or "").split(",")]
    store_flag(ctx, param, tuple(name for name in names if name))


def listing(*listings: Listing) -> Decorator:
    """-o, --sort and --columns of a verb that answers with a table; with one of several, if its
    options decide which."""
    columns = [column for one in listings for column in one.columns]
    names = ", ".join(dict.fromkeys(column.name for column in columns))

    def decorate(function: Callable[..., Answer]) -> Callable[..., Answer]:
        @wraps(function)
        def with_listing(run: Run, *args: Any, **more: Any) -> Answer:
            check_flags(run.flags, columns)
            answer = function(run, *args, **more)
            listed = (one for one in listings if one.rows in (answer.result or {}))
            return replace(answer, listing=next(listed, None))

        command: Callable[..., Answer] = with_listing
        for option in _table_options(names):
            command = option(command)
        return command

    return decorate


def _table_options(names: str) -> Iterator[Decorator]:
    """The last one first."""
    texts = {
        "columns": f"Only these, in this order. Of: {names}.",
        "sort": "Sort by a column; -COLUMN for the reverse.",
        "output": "wide (every column in full), name, json or yaml.",
    }
    flag = partial(click.option, expose_value=False)
    yield flag("--columns", metavar="A,B", callback=_split, help=texts["columns"])
    yield flag("--sort", metavar="COLUMN", callback=store_flag, help=texts["sort"])
    yield flag(
        "-o",
        "--output",
        metavar="FORMAT",
        type=click.Choice(FORMATS),
        callback=store_flag,
        help=texts["output"],
    )
