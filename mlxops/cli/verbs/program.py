"""The verbs version, completion and demo."""

from __future__ import annotations

import sys

import click

from ... import __version__
from ...agent.errors import Failed
from ...interrupts import raise_on
from ..run import Answer, Run
from ..verb import verb


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
    """Print a shell script that completes verbs, options, hosts and ports."""
    from click.shell_completion import ShellComplete, get_completion_class

    from ..root import root

    scripts = []
    for name in ("mlxops", "mlxctl"):
        made = get_completion_class(shell)(root, {}, name, f"_{name.upper()}_COMPLETE")  # type: ignore[misc]
        scripts.append(
            ShellComplete.source(made)
        )  # not made.source(): for bash, it runs bash to get its version
    result = {"script": "\n".join(scripts)}
    return Answer(result, lambda result, style: str(result["script"]), verbatim=True)


@verb("demo", "mlxops demo", together=True)
def demo(run: Run) -> Answer:
    """Try mlxops on this machine: two tiny models, a local SSH server, one swap, then clean up."""
    try:
        from ...demo.story import run as run_demo
    except ModuleNotFoundError as missing:
        hint = f"{sys.executable} -m pip install '.[demo]', in a clone of the project"
        raise Failed(f"the demo needs {missing.name}", hint, module=missing.name) from None

    with raise_on(1):
        run_demo(run.console.note if run.flags.json else run.console.print_now)
    return Answer({}, None)
