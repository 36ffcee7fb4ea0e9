"""Options that do not exist: what was meant, and the command line to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click

from ...agent.errors import Usage
from .verbs import ALIASES

# Options that other tools have for an argument -> the arguments that they may stand for here.
ARGUMENTS = {
    **dict.fromkeys(("--port", "--slot", "-p"), ("port", "ports")),
    **dict.fromkeys(("--model", "--repo", "-m"), ("model", "name", "what", "repo")),
    **dict.fromkeys(("--name", "--entry"), ("name", "model", "what")),
    **dict.fromkeys(("--job", "--id"), ("job",)),
}
# Options that other tools have -> those here; only suggested.
SYNONYMS = {
    "-n": "--dry-run",
    "--dryrun": "--dry-run",
    "--simulate": "--dry-run",
    "--what-if": "--dry-run",
    "--plan": "--dry-run",
    "-a": "--all",
    "-A": "--all",
    "--assume-yes": "--yes",
    "--no-confirm": "--yes",
    "--no-input": "--yes",
    "--tail": "--lines",
    "--limit": "-n",
    "--number": "-n",
    "-F": "--follow",
    "-w": "--watch",
    "--format": "-o",
    "--output": "-o",
    "--sort-by": "--sort",
    "--swap": "--replace",
    "--overwrite": "--replace",
    "--ctx": "--context",
    "--context-length": "--context",
    "--max-tokens": "--context",
    "--rev": "--revision",
    "--branch": "--revision",
    "--tag": "--revision",
    "--wait": "--timeout",
    "--template": "--chat-template",
    "-H": "--host",
    "--hosts": "--host",
    "--all-hosts": "--all",
    "--config": "--hosts-dir",
    "--silent": "--quiet",
    "--trace": "--debug",
}


def unknown_option(exc: click.NoSuchOption, argv: Sequence[str]) -> Usage:
    """The error for an option that does not exist, with the command line that was meant."""
    ctx, option = exc.ctx, exc.option_name
    help_command = f"{ctx.command_path} --help" if ctx else "mlxops --help"
    params = ctx.command.params if ctx else []
    named = {param.name for param in params if isinstance(param, click.Argument)}
    argument = next((name for name in ARGUMENTS.get(option, ()) if name in named), None)
    if argument:
        label = argument.removesuffix("s").upper()
        is_last = argument in ("port", "ports")
        meant = _with_argument(argv, option, ctx.command.name if ctx and not is_last else None)
        return Usage(f"no option {option}; {label} is a plain argument", meant or help_command)
    near = _near(option, params)
    if not near:
        return Usage(f"no option {option}", help_command)
    text = f"no option {option} (did you mean {near}?)"
    return Usage(text, _with_option(argv, option, near) or help_command)


def _near(option: str, params: Sequence[click.Parameter]) -> str | None:
    """The option that was meant; None if there is no such option."""
    import difflib

    known = [name for param in params if isinstance(param, click.Option) for name in param.opts]
    if SYNONYMS.get(option) in known:
        return SYNONYMS[option]
    close = difflib.get_close_matches(option, [*known, "--help"], 1, cutoff=0.75)
    return close[0] if close else None


def _with_option(argv: Sequence[str], option: str, meant: str) -> str | None:
    """The command line with one option replaced by another."""
    words = [*argv]
    where = _position(words, option)
    if where is None:
        return None
    words[where] = meant + words[where].removeprefix(option)
    return shlex.join(["mlxops", *words])


def _with_argument(argv: Sequence[str], option: str, verb: str | None) -> str | None:
    """The command line with the option's value as its last argument, or as its first, after the
    verb."""
    words = [*argv]
    where = _position(words, option)
    if where is None:
        return None
    _, equals, value = words.pop(where).partition("=")
    if not equals:
        if where == len(words):
            return None
        value = words.pop(where)
    places = [n for n, word in enumerate(words, 1) if verb in (word, *ALIASES.get(word, ())[:1])]
    words.insert(places[0] if places else len(words), value)
    return shlex.join(["mlxops", *words])


def _position(words: Sequence[str], option: str) -> int | None:
    return next((n for n, word in enumerate(words) if word.partition("=")[0] == option), None)
