"""The runtimes that are installed on a host that has no host file yet."""

from __future__ import annotations

import glob
import os
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..runtimes.table import Runtime, Runtimes
from .environment import site_packages
from .find import search_path
from .version import metadata_version

# Environments of uv and pipx, then those that people make in their home or below /opt.
ENVIRONMENTS = (
    "~/.local/share/uv/tools/*",
    "~/.local/pipx/venvs/*",
    "~/.local/share/pipx/venvs/*",
    "~/.venv*",
    "~/.venvs/*",
    "~/.virtualenvs/*",
    "~/venvs/*",
    "~/envs/*",
    "~/*",
    "~/*/.venv",
    "~/*/venv",
    "/opt/*",
    "/opt/*/.venv",
    "~/mini*/envs/*",
)
# A look into these would ask the user of a Mac for permission.
PRIVATE = {
    "Desktop",
    "Documents",
    "Downloads",
    "Library",
    "Movies",
    "Music",
    "Pictures",
    "Public",
}
MAX_ENVIRONMENTS = 200


class Installed(NamedTuple):
    """A runtime's program. `command`: the words that start it. `on_path`: it is found without
    `command` in the host file."""

    name: str
    command: Tuple[str, ...]
    version: Optional[str]
    on_path: bool


def find_runtimes(known: Runtimes) -> List[Installed]:
    """Every installation, those that are found by their name first. An environment whose program
    is also linked elsewhere counts once."""
    found: Dict[Tuple[str, str], Installed] = {}
    for folder, on_path in _folders():
        for runtime in known.values():
            command = _command(folder, runtime)
            if command:
                place = (runtime.name, os.path.dirname(os.path.realpath(command[0])))
                version = _version(runtime, command)
                found.setdefault(place, Installed(runtime.name, command, version, on_path))
    first = {name: command for (name, _), (_, command, _, on) in reversed(found.items()) if on}
    return [
        one._replace(on_path=one.on_path and first.get(one.name) == one.command)
        for one in found.values()
    ]


def _folders() -> Iterator[Tuple[str, bool]]:
    """The folders of programs, and whether they are searched for a program without a path."""
    for folder in search_path().split(os.pathsep):
        yield folder, True
    places = [place for pattern in ENVIRONMENTS for place in _matches(pattern)]
    for place in list(dict.fromkeys(places))[:MAX_ENVIRONMENTS]:
        yield os.path.join(place, "bin"), False


def _matches(pattern: str) -> List[str]:
    home = os.path.expanduser("~")
    path = os.path.expanduser(pattern)
    if not pattern.startswith("~/*"):
        return sorted(glob.glob(path))
    rest = pattern[len("~/*") :]
    names = [name for name in _names(home) if name not in PRIVATE and not name.startswith(".")]
    places = [os.path.join(home, name) + rest for name in names]
    return [place for place in places if os.path.isdir(os.path.join(place, "bin"))]


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _command(folder: str, runtime: Runtime) -> Tuple[str, ...]:
    for form in runtime.forms:
        program = os.path.join(folder, form[0])
        if os.path.isfile(program) and os.access(program, os.X_OK):
            return (program, *form[1:])
    return ()


def _version(runtime: Runtime, command: Tuple[str, ...]) -> Optional[str]:
    """From the metadata of its package: running it would take seconds."""
    for packages in site_packages(command):
        version = metadata_version(runtime.distribution, _names(packages))
        if version:
            return version
    return None
