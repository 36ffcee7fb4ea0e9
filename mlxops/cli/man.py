"""The manual page, from the same source as --help. man(7) describes its macros."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import click

from .. import __version__
from .root import GROUPS, root
from .verb import BaseCommand
from .words.verbs import ALIASES

EXIT_STATUS = {
    0: "done",
    1: "failed",
    2: "wrong usage",
    3: "host unreachable",
    4: "login or host key refused",
    5: "registry invalid",
    6: "locked by another command",
    7: "port in use, or used by a foreign process",
    8: "server not ready; rolled back",
    9: "model not found or not usable",
    10: "not enough memory or disk",
    11: "registry and host differ",
    130: "interrupted",
}
FILES = {
    "~/.config/mlxops/hosts/NAME.toml": "One host file for each host.",
    "~/.config/mlxops/config.toml": "The host to use if none is named.",
    "~/.local/state/mlxops": "What the client remembers between commands.",
}
ENVIRONMENT = {
    "MLXOPS_HOST": "The host to use, unless --host names one.",
    "MLXOPS_HOSTS_DIR": "The folder of the host files, unless --hosts-dir names one.",
    "NO_COLOR, FORCE_COLOR": "Never, or always, use colours.",
}


def man_page() -> str:
    """The page mlxops(1) as roff."""
    lines = [
        f'.TH MLXOPS 1 "" "mlxops {__version__}" "User Commands"',
        ".SH NAME",
        "mlxops \\- put MLX models on the ports of a Mac Studio, over SSH",
        ".SH SYNOPSIS",
        ".B mlxops",
        "[OPTIONS] VERB [ARGUMENTS]",
        ".SH DESCRIPTION",
        escaped(root.help or ""),
        *_global_options(),
    ]
    for group in GROUPS:
        lines.append(f'.SH "{group.upper()} VERBS"')
        for verb in GROUPS[group]:
            lines += _verb(verb)
    lines += [".SH ALIASES", *_terms({one: " ".join(ALIASES[one]) for one in ALIASES})]
    lines += [".SH EXIT STATUS", *_terms({str(code): EXIT_STATUS[code] for code in EXIT_STATUS})]
    lines += [".SH FILES", *_terms(FILES), ".SH ENVIRONMENT", *_terms(ENVIRONMENT)]
    return "\n".join(lines)


def _global_options() -> list[str]:
    records = [
        record
        for param in root.get_params(click.Context(root))
        if (record := param.get_help_record(click.Context(root)))
    ]
    return [".SH OPTIONS", "They may stand before or after the verb.", *_terms(dict(records))]


def _verb(verb: str) -> Iterator[str]:
    ctx = click.Context(root)
    command = root.get_command(ctx, verb)
    assert isinstance(command, BaseCommand)
    own = click.Context(command, parent=ctx, info_name=verb)
    usage = " ".join(command.collect_usage_pieces(own))
    yield f".SS {escaped(f'mlxops {verb} {usage}')}"
    for number, paragraph in enumerate((command.help or "").split("\n\n")):
        yield from ([".PP"] if number else [])
        yield escaped(" ".join(paragraph.split()))
    yield from _terms(
        {
            record[0]: param.help or ""
            for param in command.params
            if isinstance(param, click.Option) and (record := param.get_help_record(own))
        }
    )
    yield from [".PP", "Examples:", ".PP", ".nf", *map(escaped, command.examples), ".fi"]


def _terms(texts: dict[str, str]) -> Iterator[str]:
    for term, text in texts.items():
        yield from [".TP", f"\\fB{escaped(term)}\\fR", escaped(text)]


def read_with_man(page: str) -> bool:
    """Show the page with man(1); False if that is not installed."""
    program = shutil.which("man")
    if program is None:
        return False
    with tempfile.NamedTemporaryFile("w", prefix="mlxops-", suffix=".1", encoding="utf-8") as file:
        file.write(page)
        file.flush()
        subprocess.run([program, file.name], check=False)
    return True


def escaped(text: str) -> str:
    """Text that roff prints as it is: a backslash, a dash, a dot or a quote at the beginning mean
    something else there."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{plain}" if plain[:1] in (".", "'") else plain
