"""The verbs hosts add and hosts use: they change files on this machine."""

from __future__ import annotations

import os
from typing import Any

import click

from ...agent.errors import Interrupted, Usage
from ...hosts import folders
from ...hosts.default import set_default
from ...hosts.files import choose_hosts
from ...interrupts import raise_on
from ...render.hosts import added_text, use_text
from .. import options
from ..run import Answer, Run
from ..verb import complete_hosts, verb

NONE = "-"


@verb(
    "hosts add",
    "mlxops hosts add studio                       # the name in `ssh studio`",
    "mlxops hosts add studio thestudio@192.168.1.20 --identity ~/.ssh/studio",
    "mlxops hosts add studio --dry-run             # print the file, write nothing",
    "mlxops hosts add studio --yes --fingerprint SHA256:...",
    "mlxops hosts add studio --local               # on the Studio itself",
    together=True,
)
@click.argument("name")
@click.argument("address", required=False, metavar="[[USER@]ADDRESS]")
@click.option("--user", metavar="USER", help="Account on the host (default: ~/.ssh/config).")
@click.option(
    "--port", type=options.WholeNumber(1, 65535), metavar="N", help="Port of its SSH server."
)
@click.option("--identity", metavar="FILE", help="Private key, on this machine.")
@click.option(
    "--fingerprint", metavar="SHA256:...", help="Trust an unknown host key if it has this one."
)
@click.option("--runtime", metavar="NAME|PATH", help="Server program (default: the one found).")
@click.option("--hf-home", metavar="DIR", help="HF_HOME on the host (default: the one found).")
@click.option("--ports", metavar="FIRST-LAST", help="Ports of the servers (default 8100-8109).")
@click.option("--bind", metavar="ADDRESS", help="Where servers listen (default 127.0.0.1).")
@click.option("--python", metavar="PATH", help="Python on the host (default: the newest found).")
@click.option("--force", is_flag=True, help="Replace an existing host file.")
@options.dry_run()
@options.yes()
def add(run: Run, **wishes: Any) -> Answer:
    """Write the host file for a new host, step by step: each step is tested and shown.

    ADDRESS is a name, an address, or an alias of ~/.ssh/config (default: NAME). At a terminal you
    are asked about an unknown host key and where there is more than one choice; with --yes, or
    without a terminal, the first choice is taken, and an unknown key is refused unless
    --fingerprint matches it. Nothing is written before the last step."""
    from ..hosts.add import HostSetup, Wishes
    from ..hosts.choices import NOTHING_WRITTEN

    if run.flags.several_hosts or run.flags.host:
        raise Usage("NAME is the host: leave out --host", "mlxops hosts add NAME")
    try:
        with raise_on(1):
            result = HostSetup(run, Wishes(**wishes)).perform()
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {NOTHING_WRITTEN}") from None
    return Answer(result, added_text, verbatim=True)


@verb("hosts use", "mlxops hosts use studio2", "mlxops hosts use -", together=True)
@click.argument("name", required=False, shell_complete=complete_hosts)
@click.option("--unset", is_flag=True, help="Set no default host (same as -).")
def use(run: Run, name: str | None, unset: bool) -> Answer:
    """Make NAME the host that verbs use without --host; - for none.

    It is `host` in ~/.config/mlxops/config.toml, whose other lines are kept. $MLXOPS_HOST takes
    precedence."""
    if (name is None) != unset:
        raise Usage("name one host, or - for none", "mlxops hosts use NAME")
    path = folders.config_path()
    if path is None:
        raise Usage("HOME is not set", "set HOME; or use MLXOPS_HOST")
    chosen = None if unset or name == NONE else str(name)
    if chosen:
        choose_hosts([chosen], run.flags.hosts_dir, "hosts use")
    before = set_default(path, chosen)
    variable = os.environ.get("MLXOPS_HOST")
    overruled = [f"MLXOPS_HOST is {variable}, which takes precedence"] if variable else []
    result = {"default": chosen, "before": before, "file": str(path), "warnings": overruled}
    return Answer(result, use_text)
