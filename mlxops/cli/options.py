"""The arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..agent.wire import values
from .run import Flags, Run

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Seconds(click.FloatRange):
    """A bounded time: a wait of nan would be over at once, and nan is in every range; one of
    infinity never is."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = float(super().convert(value, param, ctx))
        try:
            return values.seconds(found)
        except ValueError as exc:
            self.fail(f"{value} {exc}", param, ctx)


def _ports(ctx: click.Context, param: click.Parameter, prefix: str) -> list[str]:
    """Ports and slot names of the host, for TAB; nothing where there is no telling which host."""
    from ..agent.errors import MlxopsError
    from ..hosts.files import find_host

    run = ctx.find_object(Run)
    flags = run.flags if run else Flags()
    try:
        site = find_host(flags.host, flags.hosts_dir).site
    except MlxopsError:
        return []
    names = [slot["name"] for slot in site["slots"].values()]
    return [word for word in [*map(str, site["ports"]), *names] if word.startswith(prefix)]


def port(name: str = "port", **more: Any) -> Decorator:
    return click.argument(name, metavar=more.pop("metavar", "PORT"), shell_complete=_ports, **more)


def dry_run() -> Decorator:
    return click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")


def yes() -> Decorator:
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def grace() -> Decorator:
    text = "Seconds a server may take to finish its requests and end."
    return click.option("--grace", "grace_s", type=_seconds(), metavar="S", help=text)


def timeout(text: str) -> Decorator:
    return click.option("--timeout", "timeout_s", type=_seconds(), metavar="S", help=text)


def _seconds() -> click.FloatRange:
    return _Seconds(min=0, min_open=True, max=values.MAX_SECONDS)
