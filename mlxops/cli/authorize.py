"""The verb that prints what a restricted key may do, as a line for the host's authorized_keys."""

from __future__ import annotations

import click

from ..render.format import printable
from . import authorized_keys, options
from .run import Answer, Run
from .verb import verb

_DRY = "Dry run: nothing was put on {host}, so this line would not work yet."
_ADVICE = """\
Add the line to ~/.ssh/authorized_keys on {host}, and see that the key is on no other line there: the first one counts.
It holds for this version of mlxops and this state of the host file: authorize again when either has changed."""


@verb(
    "authorize",
    "mlxops authorize --verbs status,reconcile --key ~/.ssh/cron.pub",
    "mlxops authorize -q --verbs reconcile --key ~/.ssh/cron.pub | ssh studio 'cat >> ~/.ssh/authorized_keys'",
)
@click.option(
    "--verbs", required=True, metavar="V,V", help="What the key may do, such as status,reconcile."
)
@click.option(
    "--key", metavar="FILE.pub", help="The public key; without it, the line's beginning is printed."
)
@options.dry_run()
def authorize(run: Run, verbs: str, key: str | None, dry_run: bool) -> Answer:
    """Print the line of authorized_keys with which a key may run some verbs of the host, and
    nothing else.

    Only verbs that start no server can be granted. The host gets what the line needs."""
    public = authorized_keys.read_public_key(key) if key else None
    granted = [word.strip() for word in verbs.split(",") if word.strip()]
    result = run.call("authorize", {"verbs": granted, "key": public, "dry_run": dry_run})
    if not run.flags.quiet:
        run.console.note((_DRY if dry_run else _ADVICE).format(host=run.host.name))
    line = authorized_keys.authorized_line(result["command"], public)
    return Answer({**result, "line": line}, lambda result, style: printable(result["line"]))
