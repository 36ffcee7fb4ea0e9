"""The Python environment of a runtime's program: its interpreter, its packages, its model types."""

from __future__ import annotations

import os
import re
from typing import FrozenSet, Iterable, Iterator, Optional, Sequence, Tuple

from ..untrusted import read_bounded

_MAX_BYTES = 1 << 20
# mlx-lm's utils.py names model types that another module serves: MODEL_REMAPPING = {"mistral":
# "llama", ...}
_REMAPPED = re.compile(r"^MODEL_REMAPPING\s*=\s*\{(.*?)^\}", re.M | re.S)
_KEY = re.compile(r'^\s*"([\w.-]+)":', re.M)


def site_packages(words: Sequence[str]) -> Iterator[str]:
    """The site-packages folders of the environments that a command may belong to."""
    for python in runtime_interpreters(words):
        libraries = os.path.join(os.path.dirname(os.path.dirname(python[-1])), "lib")
        if os.path.isabs(libraries) and os.path.isdir(libraries):
            for name in sorted(os.listdir(libraries)):
                folder = os.path.join(libraries, name, "site-packages")
                if name.startswith("python") and os.path.isdir(folder):
                    yield folder


def has_package(package: str, folders: Iterable[str]) -> bool:
    """Whether a package is installed in the first of these site-packages folders."""
    first = next(iter(folders), None)
    return first is not None and os.path.isdir(os.path.join(first, package))


def model_types(folders: Iterable[str]) -> Optional[FrozenSet[str]]:
    """The model types that the installed mlx-lm can build; None if that is unknown."""
    first = next(iter(folders), "")
    try:
        names = os.listdir(os.path.join(first, "mlx_lm", "models"))
    except OSError:
        return None
    text = (read_bounded(os.path.join(first, "mlx_lm", "utils.py"), _MAX_BYTES) or b"").decode(
        "utf-8", "replace"
    )
    remapped = _REMAPPED.search(text)
    # Without that table this is an mlx-lm of unknown layout.
    built = frozenset(name[:-3] for name in names if name.endswith(".py"))
    return built | frozenset(_KEY.findall(remapped[1])) if remapped else None


def vision_types(folders: Iterable[str]) -> Optional[FrozenSet[str]]:
    """The model types that the installed mlx-vlm can build; None if that is unknown."""
    package = os.path.join(next(iter(folders), ""), "mlx_vlm")
    try:
        names = os.listdir(os.path.join(package, "models"))
    except OSError:
        return None
    text = read_bounded(os.path.join(package, "utils.py"), _MAX_BYTES) or b""
    remapped = _REMAPPED.search(text.decode("utf-8", "replace"))
    return frozenset(names) | frozenset(_KEY.findall(remapped[1])) if remapped else None


def template_types(folders: Iterable[str]) -> FrozenSet[str]:
    """The values of chat_template_type for which the installed mlx-lm has code."""
    try:
        names = os.listdir(os.path.join(next(iter(folders), ""), "mlx_lm", "chat_templates"))
    except OSError:
        return frozenset()
    return frozenset(name[:-3] for name in names if name.endswith(".py"))


Argv = Tuple[str, ...]


def shebang(script: str) -> Argv:
    """The interpreter that a script names; () if it is not a script.

    If the path is too long or contains blanks, pip writes `#!/bin/sh` and an exec line that Python
    reads as a string."""
    from ..untrusted import read_bounded

    lines = (read_bounded(script, 4096) or b"").decode("utf-8", "replace").splitlines()
    if not lines or not lines[0].startswith("#!"):
        return ()
    if lines[0] == "#!/bin/sh" and len(lines) > 1 and lines[1].startswith("'''exec' "):
        import shlex

        return tuple(shlex.split(lines[1][len("'''exec' ") :])[:1])
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


def runtime_interpreters(command: Sequence[str]) -> Iterator[Argv]:
    """The interpreters that a runtime's command may run under, by the layout of environments."""
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
