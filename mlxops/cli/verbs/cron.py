"""The verb cron."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from .. import options
from ..run import Answer, Run
from ..verb import verb

_ADVICE = """\
Add the line with crontab -e. cron has no ssh agent: use a key without a passphrase, and a host key
in known_hosts. Test the command as cron will run it:
  env -i HOME="$HOME" LOGNAME="$LOGNAME" PATH=/usr/bin:/bin /bin/sh -c 'COMMAND'"""


@verb(
    "cron",
    "mlxops cron",
    "mlxops cron --every 10 --restart",
    "(crontab -l; mlxops cron -q) | crontab -",
)
@click.option(
    "--every",
    type=options.WholeNumber(1, 59),
    default=5,
    metavar="MINUTES",
    help="Interval, 1 to 59 minutes (default 5).",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Let it also start models that are wanted and whose server is gone.",
)
def cron(run: Run, every: int, restart: bool) -> Answer:
    """Print a crontab line that runs reconcile every few minutes.

    It prints something, which cron mails, only when something changed or is wrong."""
    if not run.flags.quiet:
        run.console.note(_ADVICE)
    minutes = "*" if every == 1 else f"*/{every}"
    line = f"{minutes} * * * * {crontab_text(run, *(['--restart'] if restart else []))}"
    result = {"line": line, "every_minutes": every}
    return Answer(result, lambda result, style: str(result["line"]), verbatim=True)


def crontab_text(run: Run, *more: str) -> str:
    """The command line, independent of the environment. % is escaped: in a crontab it would end the
    command."""
    named = run.host.named_folder
    where = ["--host", run.host.name, *(["--hosts-dir", str(named)] if named else [])]
    words = [*where, *(["--local"] if run.flags.local else []), "reconcile", "-q", *more]
    return f"{_program()} {shlex.join(words)}".replace("%", "\\%")


def _program() -> str:
    """The running program, as a shell can start it from any folder."""
    called = Path(sys.argv[0])
    if called.name in ("mlxops", "mlxctl") and os.access(called, os.X_OK):
        return shlex.quote(str(called.absolute()))
    home = Path(__file__).resolve().parents[3]
    return f"cd {shlex.quote(str(home))} && {shlex.quote(sys.executable)} -m mlxops"
