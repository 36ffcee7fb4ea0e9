"""A host with little memory: an interpreter for the agent under which /proc/meminfo tells of a small machine.

Only the size of the machine is made up: what is left of it is what the real servers of the test do not hold.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from studio import AGENT_PYTHON, Studio

SOURCE = """#!{real}
import os, sys
at = sys.argv.index("-c") + 1
os.execv({real!r}, [{real!r}, *sys.argv[1:at], {patch!r} + sys.argv[at], *sys.argv[at + 1:]])
"""
# Before the stub's own text. The agent reads /proc by way of os.open.
PATCH = """
import os as _os
def _held():
    for pid in filter(str.isdigit, _os.listdir("/proc")):
        try:
            if _os.readlink("/proc/%s/cwd" % pid).startswith({folder!r}):
                with open("/proc/%s/statm" % pid) as f:
                    yield int(f.read().split()[1]) * _os.sysconf("SC_PAGE_SIZE")
        except OSError:
            pass
def _meminfo(path, *rest, _open=_os.open, **more):
    if path != "/proc/meminfo":
        return _open(path, *rest, **more)
    with open({budget!r}) as f:
        total = int(f.read())
    name = "{budget}.%d" % _os.getpid()
    with open(name, "w") as f:
        f.write("MemTotal: %d kB\\nMemAvailable: %d kB\\n" % (total >> 10, max(0, total - sum(_held())) >> 10))
    fd = _open(name, _os.O_RDONLY)
    _os.unlink(name)
    return fd
_os.open = _meminfo
"""


class Cramped:
    """The studio's agent runs under it from now on."""

    def __init__(self, studio: Studio) -> None:
        self._budget = studio.folder / "memory"
        real = os.environ.get(AGENT_PYTHON) or sys.executable
        python = studio.folder / "python3"
        run = str(studio.state_dir / "run")
        patch = PATCH.format(folder=run, budget=str(self._budget))
        python.write_text(SOURCE.format(real=real, patch=patch))
        python.chmod(0o755)
        self.size(1 << 40)
        studio.describe(python=str(python))

    def size(self, size: int) -> None:
        """Bytes of the whole machine, from now on."""
        draft = Path(f"{self._budget}.draft")
        draft.write_text(str(size))
        os.replace(draft, self._budget)
