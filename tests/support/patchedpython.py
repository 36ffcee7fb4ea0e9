"""An interpreter for agents that runs some code first, also in the agents that an agent starts."""

from __future__ import annotations

from pathlib import Path

SOURCE = """#!{real} -IS
import os, sys
words = sys.argv[1:]
if "-c" in words:
    at = words.index("-c") + 1
    words[at] = {patch!r} + words[at]
os.execv({real!r}, [{real!r}, *words])
"""
SELF = "import sys as _sys\n_sys.executable = {path!r}\n"


def patched_python(path: Path, real: str, patch: str) -> str:
    """Write the interpreter to `path`; it runs `patch` before any code given with -c."""
    whole = SELF.format(path=str(path)) + patch
    path.write_text(SOURCE.format(real=real, patch=whole))
    path.chmod(0o755)
    return str(path)
