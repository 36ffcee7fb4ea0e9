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
from .run import Answer, Run
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


def completion(names: str) -> Callable[..., Any]:
    """A function of words.completion, imported only when a shell asks."""

    def complete(ctx: click.Context, param: click.Parameter, prefix: str) -> Any:
        from .words import completion as words

        return getattr(words, names)(ctx, param, prefix)

    return complete


def model(name: str = "model", names: str = "models", **more: Any) -> Decorator:
    """An argument that names an entry; with `things` as names, an entry or a port."""
    return click.argument(name, shell_complete=completion(names), **more)


def port(name: str = "port", **more: Any) -> Decorator:
    return click.argument(
        name, metavar=more.pop("metavar", "PORT"), shell_complete=completion("ports"), **more
    )


def job() -> Decorator:
    return click.argument("job", required=False, metavar="[JOB]", shell_complete=completion("jobs"))


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


def interval(text: str) -> Decorator:
    return click.option("--interval", "interval_s", type=_Seconds(), metavar="SECONDS", help=text)


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


def document() -> Decorator:
    """-o of a verb that answers with no table."""
    forms = click.Choice(("json", "yaml"))
    return click.option(
        "-o",
        "--output",
        metavar="FORMAT",
        type=forms,
        callback=store_flag,
        expose_value=False,
        help="json or yaml.",
    )


def _table_options(names: str) -> Iterator[Decorator]:
    """The last one first."""
    texts = {
        "columns": f"Only these, in this order. Of: {names}.",
        "sort": "Sort by a column; -COLUMN for the reverse.",
        "output": "wide (every column in full), name, json or yaml.",
    }
    flag = partial(click.option, expose_value=False)
    names_column: dict[str, Any] = {"shell_complete": completion("columns")}
    yield flag("--columns", metavar="A,B", callback=_split, help=texts["columns"], **names_column)
    yield flag("--sort", metavar="COLUMN", callback=store_flag, help=texts["sort"], **names_column)
    yield flag(
        "-o",
        "--output",
        metavar="FORMAT",
        type=click.Choice(FORMATS),
        callback=store_flag,
        help=texts["output"],
    )
