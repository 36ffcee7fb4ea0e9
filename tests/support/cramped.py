"""A host with little memory: an agent under which /proc/meminfo tells of a small machine.

Only the size of the machine is made up: what is left of it is what the real servers of the test do
not hold."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.studio import AGENT_PYTHON, Studio

SOURCE = """#!{real} -IS
import os, sys
at = sys.argv.index("-c") + 1
os.execv({real!r}, [{real!r}, *sys.argv[1:at], {patch!r} + sys.argv[at], *sys.argv[at + 1:]])
"""
# Before the agent's own text, which reads /proc by way of os.open.
PATCH = """
import os as _os
def _held():
    for pid in filter(str.isdigit, _os.listdir("/proc")):
        try:
            if _os.readlink("/proc/%s/cwd" % pid).startswith({run!r}):
                with open("/proc/%s/statm" % pid) as f:
                    yield int(f.read().split()[1]) * _os.sysconf("SC_PAGE_SIZE")
        except OSError:
            pass
def _small(_write=_os.write):
    with open({budget!r}) as f:
        total = int(f.read())
    fd = _os.memfd_create("meminfo")
    left = max(0, total - sum(_held()))
    _write(fd, b"MemTotal: %d kB\\nMemAvailable: %d kB\\n" % (total >> 10, left >> 10))
    return fd
def _meminfo(path, *rest, _open=_os.open, **more):
    if path != "/proc/meminfo":
        return _open(path, *rest, **more)
    fd = _small()
    try:
        return _open("/proc/self/fd/%d" % fd, _os.O_RDONLY)
    finally:
        _os.close(fd)
_os.open = _meminfo
"""
LARGE = 1 << 40


class Budget:
    """The size of a machine, kept in the file `path`, of which the servers that work under `run`
    take their part."""

    def __init__(self, path: Path, run: Path) -> None:
        self._path = path
        self.patch = PATCH.format(run=str(run), budget=str(path))
        self.size(LARGE)

    def size(self, size: int) -> None:
        """Bytes of the whole machine, from now on."""
        draft = Path(f"{self._path}.draft")
        draft.write_text(str(size))
        os.replace(draft, self._path)

    def python(self, real: str) -> str:
        """An interpreter under which an agent sees no more."""
        path = self._path.with_name("python3")
        path.write_text(SOURCE.format(real=real, patch=self.patch))
        path.chmod(0o755)
        return str(path)


class Cramped(Budget):
    """The studio's agent runs under it from now on."""

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio.folder / "memory", studio.state_dir / "run")
        studio.describe(python=self.python(os.environ.get(AGENT_PYTHON) or sys.executable))
