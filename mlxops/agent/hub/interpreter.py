"""Which interpreter of the host can talk to the Hub: one that has huggingface_hub."""

from __future__ import annotations

import os
import sys
from typing import Iterator, Optional, Sequence, Tuple

from ..errors import NotDownloadable
from ..site import Site

Prefix = Tuple[str, ...]

_PROBE = ("import sys, importlib.util as u; "
          "sys.exit(0 if sys.version_info >= (3, 9) and u.find_spec('huggingface_hub') else 9)")
_PROBE_TIMEOUT_S = 20
# A bare ssh PATH has none of these.
_UV_PLACES = ("~/.local/bin/uv", "/opt/homebrew/bin/uv", "/usr/local/bin/uv", "~/.cargo/bin/uv")


def has_hub(python: Sequence[str]) -> bool:
    """Whether this interpreter is Python 3.9 or later and finds huggingface_hub."""
    import subprocess
    try:
        done = subprocess.run([*python, "-c", _PROBE], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=_PROBE_TIMEOUT_S, cwd="/")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def shebang(script: str) -> Prefix:
    """The interpreter a script names; () when it is no script.

    Where the path is too long or has blanks, pip writes `#!/bin/sh` and an exec line that Python reads as a string.
    """
    from ..models.files import read
    lines = (read(script, 4096) or b"").decode("utf-8", "replace").splitlines()
    if not lines or not lines[0].startswith("#!"):
        return ()
    if lines[0] == "#!/bin/sh" and len(lines) > 1 and lines[1].startswith("'''exec' "):
        import shlex
        return tuple(shlex.split(lines[1][len("'''exec' "):])[:1])
    return tuple(lines[0][2:].split())


def _is_python(path: str) -> bool:
    return os.path.basename(path).startswith("python")


def _project(command: Sequence[str]) -> Optional[str]:
    """The folder of `uv run --project FOLDER …`."""
    for place, flag in enumerate(command[:-1]):
        if flag in ("--project", "--directory"):
            return command[place + 1]
        if flag.startswith("--project="):
            return flag.partition("=")[2]
    return None


def of_runtime(command: Sequence[str]) -> Iterator[Prefix]:
    """The interpreters a runtime's command may run under, by where its environment would have one."""
    import shutil
    if not command:
        return
    program = shutil.which(os.path.expanduser(command[0])) or command[0]
    project = _project(command)
    if project:
        yield (os.path.join(os.path.expanduser(project), ".venv", "bin", "python"),)
    elif _is_python(program):
        yield (program,)
    else:
        named = shebang(program)
        if named and _is_python(named[-1]):
            yield named
        for place in (program, os.path.realpath(program)):
            yield (os.path.join(os.path.dirname(place), "python3"),)


def _uv(command: Sequence[str], places: Sequence[str]) -> Iterator[Prefix]:
    import shutil
    first = command[:1] if command and os.path.basename(command[0]) == "uv" else ()
    for place in (*first, "uv", *places):
        found = shutil.which(os.path.expanduser(place))
        if found:
            yield (found, "run", "--quiet", "--no-project", "--with", "huggingface_hub", "python")


def interpreter(site: Site, runtime_command: Sequence[str], uv_places: Sequence[str] = _UV_PLACES) -> Prefix:
    """The argv prefix of an interpreter with huggingface_hub.

    In order: the host file's hub_python (alone, when set), the runtime's own environment, the agent's interpreter,
    uv with a throwaway environment. NotDownloadable, with the command to run, when there is none.
    """
    if site.hub_python:
        return _the_one_told(os.path.expanduser(site.hub_python))
    for python in (*of_runtime(runtime_command), (sys.executable,)):
        if has_hub(python):
            return python
    for uv in _uv(runtime_command, uv_places):
        return uv
    raise NotDownloadable(
        "no interpreter on the host has huggingface_hub, which downloads need",
        "on the host run `%s -m pip install --user huggingface_hub`, or set hub_python in the host file to an "
        "interpreter that has it" % sys.executable)


def _the_one_told(python: str) -> Prefix:
    if has_hub((python,)):
        return (python,)
    raise NotDownloadable(
        "hub_python of the host file, %s, is not a Python 3.9 or later with huggingface_hub" % python,
        "on the host run `%s -m pip install huggingface_hub`, or correct hub_python" % python, hub_python=python)
