"""The verbs version, completion, man and demo."""

from __future__ import annotations

import sys

import click

from ... import __version__
from ...agent.errors import Failed
from ...interrupts import raise_on
from ..run import Answer, Run
from ..verb import verb
from ..words.scripts import script


@verb("version", "mlxops version", together=True)
def version(run: Run) -> Answer:
    """Print the version."""
    return Answer({"version": __version__}, lambda result, style: f"mlxops {result['version']}")


@verb(
    "completion",
    'eval "$(mlxops completion bash)"        # in ~/.bashrc',
    'eval "$(mlxops completion zsh)"         # in ~/.zshrc, after compinit',
    "mlxops completion fish > ~/.config/fish/completions/mlxops.fish",
    together=True,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(run: Run, shell: str) -> Answer:
    """Print a shell script for completion with TAB.

    It completes verbs, options, hosts, ports and slots, and the entries, jobs and parsers in the
    last answers of the host, which are kept in ~/.local/state/mlxops. It never asks the host."""
    text = "\n".join(script(shell, program) for program in ("mlxops", "mlxctl"))
    return Answer({"script": text}, lambda result, style: str(result["script"]), verbatim=True)


@verb("man", "mlxops man", "mlxops man > mlxops.1", together=True)
def man(run: Run) -> Answer:
    """Show the manual page, mlxops(1); print its source if the output is not a terminal."""
    from ..man import man_page, read_with_man

    page = man_page()
    at_terminal = run.style.width is not None and not run.flags.json
    if at_terminal and read_with_man(page):
        return Answer({"page": page}, None)
    return Answer({"page": page}, lambda result, style: str(result["page"]), verbatim=True)


@verb("demo", "mlxops demo", together=True)
def demo(run: Run) -> Answer:
    """Try mlxops on this machine: two tiny models, a local SSH server, one swap, then clean up."""
    try:
        from ...demo.story import run as run_demo
    except ModuleNotFoundError as missing:
        hint = f"{sys.executable} -m pip install '.[demo]', in a clone of the project"
        raise Failed(f"the demo needs {missing.name}", hint, module=missing.name) from None

    # Of a failure, show the server's log: it is removed with everything else.
    run.flags.verbose = True
    with raise_on(1):
        run_demo(run.console.note if run.flags.json else run.console.print_now)
    return Answer({}, None)
