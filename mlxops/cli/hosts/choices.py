"""The choices of `hosts add`: the flags decide, else the only answer, else the user, else the first
one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...agent.errors import Failed, Interrupted, Usage
from ...render.hosts import LOOPBACK, bind_line, folder_line, runtime_line, short_path
from ..run import Result, Run

NOTHING_WRITTEN = "no host file was written"
# What the install command of a host without a runtime makes.
FALLBACK, FALLBACK_COMMAND = "mlx_lm.server", ("~/mlx-lm/bin/mlx_lm.server",)


class Runtime(NamedTuple):
    """`command`: for the host file; () if the program is found by its name. `text`: for people;
    empty if it is not installed."""

    name: str
    command: tuple[str, ...]
    text: str


def choose(run: Run, what: str, lines: Sequence[str], asks: bool) -> int:
    """The number of one of the lines, from 0: the user's choice at a terminal, else the first."""
    if len(lines) < 2 or not asks:
        return 0
    run.progress.close()
    rows = [f"  {number}  {line}" for number, line in enumerate(lines, 1)]
    run.console.note("\n".join([what, *rows]))
    while True:
        answer = run.console.ask(f"1-{len(lines)} [1]: ")
        if answer is None:
            raise Interrupted(f"no answer; {NOTHING_WRITTEN}")
        if answer in ("", "1"):
            return 0
        if answer.isdecimal() and 1 <= int(answer[:4]) <= len(lines):
            return int(answer) - 1
        run.console.note(f"Please type a number from 1 to {len(lines)}.")


def choose_runtime(run: Run, found: Result, wish: str | None, asks: bool) -> Runtime:
    installed = found["runtimes"]
    if wish:
        return _wished_runtime(found, wish)
    if not installed:
        return Runtime(FALLBACK, FALLBACK_COMMAND, "")
    lines = [runtime_line(one, found["home"]) for one in installed]
    number = choose(run, "Which server program?", lines, asks)
    return _runtime(installed[number], found["home"])


def _wished_runtime(found: Result, wish: str) -> Runtime:
    """The runtime of --runtime: a name, or the path of a program, installed or not."""
    for one in found["runtimes"]:
        if wish in (one["name"], one["command"][0], short_path(one["command"][0], found["home"])):
            return _runtime(one, found["home"])
    for known in found["known"]:
        if wish == known["name"]:
            return Runtime(wish, (), "")
        if wish.startswith(("/", "~/")) and os.path.basename(wish) in known["programs"]:
            text = f"there is no program {wish} on the host"
            raise Failed(text, "install it, or leave out --runtime", path=wish)
    names = ", ".join(known["name"] for known in found["known"])
    raise Usage(f"unknown runtime {wish!r}", f"known: {names}", runtime=wish)


def _runtime(one: Result, home: str) -> Runtime:
    program, *words = one["command"]
    command = () if one["on_path"] else (short_path(program, home), *words)
    return Runtime(one["name"], command, runtime_line(one, home))


def choose_home(run: Run, found: Result, wish: str | None, asks: bool) -> tuple[str, str]:
    """HF_HOME for the host file, and as text."""
    home = found["home"]
    folders: list[dict[str, Any]] = sorted(found["hf_homes"], key=lambda one: -one["models"])
    if wish:
        named = (one for one in folders if wish in (one["path"], short_path(one["path"], home)))
        return wish, next((folder_line(one, home) for one in named), wish)
    filled = [one for one in folders if one["models"]] or found["hf_homes"][:1]
    lines = [folder_line(one, home) for one in filled]
    number = choose(run, "Which Hugging Face folder?", lines, asks)
    return short_path(filled[number]["path"], home), lines[number]


def choose_bind(run: Run, found: Result, wish: str | None, asks: bool) -> str:
    if wish:
        return wish
    addresses: list[str] = [LOOPBACK, *([found["address"]] if found["address"] else [])]
    lines = [*map(bind_line, addresses)]
    return addresses[choose(run, "On which address should servers listen?", lines, asks)]
