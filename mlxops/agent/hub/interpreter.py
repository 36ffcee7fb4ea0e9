"""Find an interpreter on the host that has huggingface_hub."""

from __future__ import annotations

import os
import sys
from typing import Iterator, Sequence

from ..errors import NotDownloadable
from ..programs.environment import Argv, runtime_interpreters
from ..site import Site

_PROBE = (
    "import sys, importlib.util as u; "
    "sys.exit(0 if sys.version_info >= (3, 9) and u.find_spec('huggingface_hub') else 9)"
)
_PROBE_TIMEOUT_S = 20
# The PATH of an ssh login has none of these.
_UV_PLACES = ("~/.local/bin/uv", "/opt/homebrew/bin/uv", "/usr/local/bin/uv", "~/.cargo/bin/uv")


def has_hub(python: Sequence[str]) -> bool:
    """Whether this interpreter is Python 3.9 or later and has huggingface_hub."""
    import subprocess

    try:
        done = subprocess.run(
            [*python, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PROBE_TIMEOUT_S,
            cwd="/",
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _uv(command: Sequence[str], places: Sequence[str]) -> Iterator[Argv]:
    import shutil

    first = command[:1] if command and os.path.basename(command[0]) == "uv" else ()
    for place in (*first, "uv", *places):
        path = shutil.which(os.path.expanduser(place))
        if path:
            yield (path, "run", "--quiet", "--no-project", "--with", "huggingface_hub", "python")


def find_interpreter(
    site: Site, runtime_command: Sequence[str], uv_places: Sequence[str] = _UV_PLACES
) -> Argv:
    """The argv prefix of an interpreter with huggingface_hub.

    In order: the host file's hub_python (alone, when set), the runtime's own environment, the
    agent's interpreter, uv with a throwaway environment. NotDownloadable, with the command to run,
    if there is none."""
    if site.hub_python:
        return _configured_interpreter(os.path.expanduser(site.hub_python))
    for python in (*runtime_interpreters(runtime_command), (sys.executable,)):
        if has_hub(python):
            return python
    for uv in _uv(runtime_command, uv_places):
        return uv
    raise NotDownloadable(
        "downloads need huggingface_hub, but no interpreter on the host has it",
        "on the host run `%s -m pip install --user huggingface_hub`, "
        "or set hub_python in the host file to an "
        "interpreter that has it" % sys.executable,
    )


def _configured_interpreter(python: str) -> Argv:
    if has_hub((python,)):
        return (python,)
    raise NotDownloadable(
        "hub_python in the host file, %s, is not Python 3.9 or later with huggingface_hub" % python,
        "on the host run `%s -m pip install huggingface_hub`, or correct hub_python" % python,
        hub_python=python,
    )
