"""The arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..agent.wire import values
from .run import Flags, Run

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
        host = find_host(flags.host, flags.hosts_dir)
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
