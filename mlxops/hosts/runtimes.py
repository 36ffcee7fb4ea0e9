"""The runtimes that a host file adds: their tables, read and checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from ..agent.runtimes.table import RUNTIMES
from . import toml as hostfile
from .toml import Table

Forms = list[list[str]]
# Launchers and generic programs. Recognising a runtime by one of these would match unrelated
# processes.
GENERIC_PROGRAMS = re.compile(
    r"(python|pypy|perl|ruby|lua|php|node|java|deno|bun)[\d.]*|(ba|z|k|da|fi|c|tc)?sh|env|uvx?|pipx?|poetry|conda|mamba"
    r"|sudo|doas|nohup|nice|setsid|time(out)?|xargs|exec|screen|tmux|ssh|docker|podman|launchctl|systemd-run|caffeinate"
    r"|busybox|(r?a|mk|pw)sh|nodejs|np[mx]|yarn|ipython|jupyter|(mpi|torch)run|coverage|mpiexec|accelerate|ray|osascript"
    r"|su|runuser|chroot|unshare|nsenter|stdbuf|ionice|taskset|numactl|strace|gdb|watch|parallel|script|gtimeout"
)
# Options with a fixed meaning (--port identifies a server): a row must not reuse them.
RESERVED_FLAGS = ("--port", "--host", "--help")
# Servers of any application: the next argument names it.
APP_SERVERS = (
    "uvicorn",
    "gunicorn",
    "hypercorn",
    "granian",
    "waitress-serve",
    "flask",
    "fastapi",
)


def unknown_runtime(site: dict[str, Any]) -> str:
    """A warning if no runtime has the name that the host file gives as its default; else ""."""
    import difflib

    name, known = site["runtime"]["name"], [*RUNTIMES, *site["runtimes"]]
    if name in known:
        return ""
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"[runtime] name: no runtime is called {name!r} ({meant})"


def read(table: Table) -> dict[str, Any]:
    """Runtime name -> row, as it is sent; for a built-in runtime only its command. Usage for an
    incomplete row."""
    rows = {name: _row(name, table.table(name)) for name in table.names()}
    rivals = [
        (name, kind, list(form))
        for name, r in RUNTIMES.items()
        for kind in PATTERN_KEYS
        for form in getattr(r, kind)
    ]
    for name, row in rows.items():
        for kind in PATTERN_KEYS:
            _refuse_overlap(table, name, kind, row.get(kind, []), rivals)
    return rows


def _row(name: str, table: Table) -> dict[str, Any]:
    if name.split() != [name] or not name.isprintable():
        raise table.error("", "must have a name of one word")
    built_in, key = name in RUNTIMES, hostfile.key_source(table)
    needs_command = built_in and not key
    command = table.take("command", hostfile.command, hostfile.REQUIRED if needs_command else None)
    row = {"command": command, **key}
    row |= {} if built_in else _facts(table, command is not None)
    table.close()
    return row


def _facts(table: Table, startable: bool) -> dict[str, Any]:
    """The keys in the file; the agent has defaults for the others. `startable`: the file has a
    command."""
    fields = {key: table.take(key, check, None) for key, check in FIELDS.items()}
    if not (fields["forms"] or (fields["modules"] and startable)):
        raise table.error("forms", "is missing", "see docs/runtimes.md for its values")
    fields["default_port"] = table.take("default_port", hostfile.port)
    options = {key: fields[key] for key, check in FIELDS.items() if check is flag and fields[key]}
    for key, option in options.items():
        if [*options.values()].count(option) > 1:
            hint = "give each key its own option"
            raise table.error(key, f"is {option}, which another key uses too", hint)
    return {key: value for key, value in fields.items() if value is not None}


def _refuse_overlap(
    table: Table, name: str, kind: str, forms: Forms, rivals: list[tuple[str, str, list[str]]]
) -> None:
    for form in forms:
        for other, of_kind, theirs in rivals:
            short = min(len(form), len(theirs))
            if kind == of_kind and form[:short] == theirs[:short]:
                text = f"{form} cannot be distinguished from {theirs} of {other}"
                raise table.error(f"{name}.{kind}", text, "no form may be a prefix of another one")
        rivals.append((name, kind, form))


def _lines(value: Any) -> Forms:
    if not isinstance(value, list) or not value:
        raise ValueError('must be a list of lists of words, such as [["house-server", "serve"]]')
    return [hostfile.words(line) for line in value]


def forms(value: Any) -> Forms:
    """The first words of command lines, from the program on, without folders and without words that
    unrelated processes begin with."""
    for program, *rest in _lines(value):
        if "/" in program or program.startswith("-"):
            raise ValueError(
                f"begins with {program!r}: give the name of the program without its folder"
            )
        if GENERIC_PROGRAMS.fullmatch(program.lower()):
            raise ValueError(
                f"begins with {program!r}, which can run any program: give the words of the server"
            )
        if program in APP_SERVERS and (not rest or rest[0].startswith("-")):
            raise ValueError(f"is {program!r} alone, which can serve any app: add the application")
        _plain(rest)
    return _lines(value)


def modules(value: Any) -> Forms:
    """The same for `python -m`."""
    for module, *rest in _lines(value):
        if module.split(".")[0] in sys.stdlib_module_names or (
            module in (*APP_SERVERS, "pip") and not rest
        ):
            raise ValueError(f"is {module!r}, which is not specific: give the module of the server")
        _plain(rest)
    return _lines(value)


def _plain(words: list[str]) -> None:
    if any(word.startswith("-") for word in words):
        raise ValueError("contains an option: give the words before the first option")


def flag(value: Any) -> str:
    if not re.fullmatch(r"--[A-Za-z][\w-]*", hostfile.text(value), re.A):
        raise ValueError('must be an option of its command line, such as "--model"')
    if value in RESERVED_FLAGS:
        raise ValueError(f"is {value}, which has a fixed meaning for all servers")
    return str(value)


def marker(value: Any) -> str:
    """A distinctive part of a command line."""
    if len(hostfile.text(value)) < 4:
        raise ValueError("must have at least 4 characters")
    return str(value)


PATTERN_KEYS = ("forms", "modules")
FIELDS: dict[str, Callable[[Any], Any]] = {
    "forms": forms,
    "modules": modules,
    "model": flag,
    "fixed": hostfile.words,
    "wanted": hostfile.words,
    "served_name": flag,
    "chat_template": flag,
    "tool_call_parser": flag,
    "reasoning_parser": flag,
    "with_tool_call_parser": hostfile.words,
    "help": hostfile.words,
    "template_inline": hostfile.boolean,
    "client_model": hostfile.text,
    "listens_early": hostfile.boolean,
    "worker": marker,
    "tracker": marker,
    "distribution": hostfile.text,
    "gives_up_s": hostfile.seconds,
    "call_per_connection": hostfile.boolean,
    "key_variable": hostfile.variable,
}
