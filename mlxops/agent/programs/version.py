"""The installed version of a runtime: from its package's metadata, which is fast, else from
--version."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Optional, Sequence

from .environment import site_packages

VERSION_TIMEOUT_S = 5.0
_NUMBER = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")
_SUFFIX = ".dist-info"


def version(distribution: str, words: Sequence[str]) -> Optional[str]:
    """The version of the runtime that these words start; None if neither its metadata nor the
    program shows it."""
    for folder in site_packages(words):
        text = metadata_version(distribution, os.listdir(folder))
        if text:
            return text
    return _ask_program(words)


def metadata_version(distribution: str, names: Sequence[str]) -> Optional[str]:
    """The version in the name of a package's metadata folder (Binary distribution format:
    NAME-VERSION.dist-info)."""
    folded = _folded(distribution)
    for name in names:
        package, dash, number = name[: -len(_SUFFIX)].partition("-")
        if name.endswith(_SUFFIX) and dash and _folded(package) == folded:
            return number
    return None


def _folded(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _ask_program(words: Sequence[str]) -> Optional[str]:
    program = words[:-1] if words[-1] in ("launch", "serve") else words
    try:
        done = subprocess.run(
            [*program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=VERSION_TIMEOUT_S,
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return last_version(done.stdout.decode("utf-8", "replace")) if done.returncode == 0 else None


def last_version(text: str) -> Optional[str]:
    """The last version number in the output of --version."""
    numbers = _NUMBER.findall(text[-2000:])
    return numbers[-1] if numbers else None
