"""The verb authorize."""

from __future__ import annotations

import json
import os

import click

from ...render.format import printable
from .. import authorized_keys, options
from ..run import Answer, Run
from ..verb import verb

_DRY = "Dry run: nothing was copied to {host}, so this line does not work yet."
_ADVICE = """\
Add the line to ~/.ssh/authorized_keys on {host}. Remove other lines with the same key: only the
first one counts. Run authorize again after an upgrade of mlxops or a change of the host file."""
_TABLE = """\
For cron, add to {file}:
  [cron]
  identity_file = {key}"""


@verb(
    "authorize",
    "mlxops authorize --verbs status,reconcile              # the key of [cron]",
    "mlxops authorize --verbs status,reconcile --key ~/.ssh/cron.pub",
    "mlxops authorize -q --verbs reconcile --key ~/.ssh/cron.pub > line",
    "ssh studio 'cat >> ~/.ssh/authorized_keys' < line",
)
@click.option(
    "--verbs",
    required=True,
    metavar="VERB,VERB",
    shell_complete=options.completion("verbs"),
    help="Verbs the key may run, such as status,reconcile.",
)
@click.option(
    "--key",
    metavar="FILE.pub",
    help="Public key file (default: that of [cron] identity_file in the host file, else only the "
    "start of the line is printed).",
)
@options.dry_run()
def authorize(run: Run, verbs: str, key: str | None, dry_run: bool) -> Answer:
    """Print an authorized_keys line that limits an SSH key to some verbs.

    Verbs that can start a server cannot be granted. The files that the line needs are copied to
    the host."""
    own = run.host.cron.identity_file
    file = key or (f"{own}.pub" if own else None)
    public = authorized_keys.read_public_key(file) if file else None
    granted = [word.strip() for word in verbs.split(",") if word.strip()]
    result = run.call("authorize", {"verbs": granted, "key": public, "dry_run": dry_run})
    if not run.flags.quiet:
        run.console.note((_DRY if dry_run else _ADVICE).format(host=run.host.name))
        if key and not own and not dry_run:
            path = key if key.startswith("~/") else os.path.abspath(key)
            private = json.dumps(path.removesuffix(".pub"), ensure_ascii=False)
            run.console.note(_TABLE.format(file=run.host.path, key=private))
    line = authorized_keys.authorized_line(result["command"], public)
    result = {**result, "line": line}
    return Answer(result, lambda result, style: printable(result["line"]), verbatim=True)
