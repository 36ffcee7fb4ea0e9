"""The verb cron."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ...agent.errors import Usage
from ...render import cron as text
from ...unattended import crontab, crontab_program
from .. import options, reporting
from ..run import Answer, Run
from ..verb import verb

DIVISORS = [minutes for minutes in range(1, 61) if 60 % minutes == 0]


class _Interval(options.WholeNumber):
    """Minutes that divide an hour: cron cannot count beyond it."""

    def __init__(self) -> None:
        super().__init__(1, 60)

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        minutes = super().convert(value, param, ctx)
        if minutes not in DIVISORS:
            last = 60 // minutes * minutes
            known = f"{', '.join(map(str, DIVISORS[:-1]))} or 60"
            text = f"{minutes} does not divide 60: cron would run at :{last:02d} and again at :00"
            self.fail(f"{text}; use {known}", param, ctx)
        return minutes


@verb(
    "cron",
    "mlxops cron install",
    "mlxops cron install --every 10 --restart --dry-run",
    "mlxops cron install --notify 'curl -sS -T - ntfy.sh/MY-TOPIC'",
    "mlxops cron show",
    "mlxops cron remove",
    "mlxops cron                          # print the line only",
)
@click.argument(
    "action",
    required=False,
    metavar="[install|show|remove]",
    type=click.Choice(["install", "show", "remove"]),
)
@click.option(
    "--every",
    type=_Interval(),
    metavar="MINUTES",
    help="Interval in minutes, a divisor of 60 (default 5).",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Also start models that are wanted and whose server is gone.",
)
@reporting.notify_option()
@reporting.metrics_option()
@options.dry_run()
def cron(
    run: Run,
    action: str | None,
    every: int | None,
    restart: bool,
    notify: str | None,
    metrics: str | None,
    dry_run: bool,
) -> Answer:
    """Run reconcile every few minutes: manage the host's line in your crontab.

    cron mails what it prints: only what changed or went wrong, once. Other lines of the crontab are
    never touched. Without an action, the line is printed and nothing is changed."""
    more = [
        *(["--restart"] if restart else []),
        *(["--notify", notify] if notify is not None else []),
        *(["--metrics", os.path.abspath(metrics)] if metrics is not None else []),
    ]
    if action in ("show", "remove") and (every is not None or more):
        raise Usage(f"cron {action} takes no options but --dry-run", "mlxops cron --help")
    if action == "show":
        return _show(run)
    if action == "remove":
        return _change(run, crontab.remove(crontab_program.read(), _name(run)), None, dry_run)
    minutes = every or 5
    line = f"{crontab.schedule(minutes)} {crontab_text(run, *more)}"
    _require_short(line, run.host.name)
    if action is None:
        return _print(run, line, minutes)
    edit = crontab.install(
        crontab_program.read(), run.host.name, crontab.marked(line, run.host.name)
    )
    return _change(run, edit, line, dry_run)


def _print(run: Run, line: str, minutes: int) -> Answer:
    if not run.flags.quiet:
        run.console.note(text.ADVICE)
    return Answer(
        {"line": line, "every_minutes": minutes},
        lambda result, style: str(result["line"]),
        verbatim=True,
    )


def _show(run: Run) -> Answer:
    host, now = _name(run), crontab_program.read()
    lines = crontab.lines_of(now, host)
    result = {"host": host, "lines": lines, "others": crontab.similar_lines(now, host)}
    return Answer(result, text.shown, verbatim=True)


def _change(run: Run, edit: crontab.Edit, line: str | None, dry_run: bool) -> Answer:
    """Make the change, unless it is a dry run. `line`: the new one, without its mark."""
    if edit.changed and not dry_run:
        crontab_program.write(edit.new_text)
    host = _name(run)
    result = {
        "host": host,
        "changed": edit.changed and not dry_run,
        "diff": edit.diff,
        "before": list(edit.before),
        "line": line,
        "command": line and line.split(None, 5)[5].replace("\\%", "%"),
        "others": crontab.similar_lines(edit.new_text, host),
    }
    return Answer(result, text.planned if dry_run else text.changed, verbatim=True)


def _name(run: Run) -> str:
    """The host's name; that of --host, if its file is gone and only its line is left."""
    try:
        return run.host.name
    except Usage:
        name = run.flags.first_host
        if name and name.isprintable():
            return name
        raise


def _require_short(line: str, host: str) -> None:
    whole = crontab.marked(line, host)
    if not whole.isprintable():
        raise Usage(
            "a crontab line cannot hold a newline or another control character",
            "put the command into a script, and name the script",
        )
    if len(whole.encode("utf-8", "surrogateescape")) > crontab.MAX_LINE:
        raise Usage(
            f"the line would have {len(whole)} characters, and cron takes {crontab.MAX_LINE}",
            "put the command of --notify into a script",
        )


def crontab_text(run: Run, *more: str) -> str:
    """The command line, independent of the environment. % is escaped: in a crontab it would end the
    command."""
    named = run.host.named_folder
    where = ["--host", run.host.name, *(["--hosts-dir", str(named)] if named else [])]
    flags = [*(["--local"] if run.flags.local else []), "--cron"]
    words = [*where, *flags, "reconcile", "-q", "--check", *more]
    return f"{_program()} {shlex.join(words)}".replace("%", "\\%")


def _program() -> str:
    """The running program, as a shell can start it from any folder."""
    called = Path(sys.argv[0])
    if called.name in ("mlxops", "mlxctl") and os.access(called, os.X_OK):
        return shlex.quote(str(called.absolute()))
    home = Path(__file__).resolve().parents[3]
    return f"cd {shlex.quote(str(home))} && {shlex.quote(sys.executable)} -m mlxops"
