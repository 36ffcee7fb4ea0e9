"""The crontab line of a host: what it is, and what was changed."""

from __future__ import annotations

from typing import Any

from .format import printable
from .style import Style

_CRON_ENVIRONMENT = 'env -i HOME="$HOME" LOGNAME="$LOGNAME" PATH=/usr/bin:/bin'
ADVICE = """\
`mlxops cron install` puts this line into your crontab, or replaces an earlier
one. cron has no ssh agent: use a key without a passphrase, and a host key in
known_hosts."""


def shown(result: dict[str, Any], style: Style) -> str:
    """The host's lines of the crontab."""
    if not result["lines"]:
        text = (
            f"The crontab has no line for {printable(result['host'])}; mlxops cron install adds it."
        )
        return "\n".join([style.idle(text), *_others(result)])
    return "\n".join([*map(printable, result["lines"]), *_others(result)])


def planned(result: dict[str, Any], style: Style) -> str:
    """A dry run: the lines that would go and come."""
    return "\n".join([*_diff(result)] or [_unchanged(result, style)])


def changed(result: dict[str, Any], style: Style) -> str:
    if not result["changed"]:
        return "\n".join([_unchanged(result, style), *_others(result)])
    host = printable(result["host"])
    if result["line"] is None:
        done = f"removed the line for {host} from the crontab"
    else:
        done = f"{'changed' if result['before'] else 'added'} the line for {host} in the crontab"
    lines = [done, *_diff(result), *_others(result)]
    if result["command"] and not style.quiet:
        lines.append(f"next: {_trial(printable(result['command']))}")
    return "\n".join(lines)


def _trial(command: str) -> str:
    """The command in the environment that cron gives it."""
    import shlex

    shell = f"/bin/sh -c {shlex.quote(command)}" if command.startswith("cd ") else command
    return f"{_CRON_ENVIRONMENT} {shell}"


def _unchanged(result: dict[str, Any], style: Style) -> str:
    host = printable(result["host"])
    if result["line"] is None:
        return style.idle(f"The crontab has no line for {host}.")
    return style.idle(f"The crontab has this line for {host} already.")


def _diff(result: dict[str, Any]) -> list[str]:
    return [f"  {printable(line)}" for line in result["diff"]]


def _others(result: dict[str, Any]) -> list[str]:
    """Lines that run the same for this host, which mlxops leaves alone."""
    return [
        f"warning: another line runs reconcile for it, and was left alone: {printable(line)}"
        for line in result["others"]
    ]
