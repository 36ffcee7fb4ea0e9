"""A host with little memory: an agent that reads a made-up /proc/meminfo.

Only the size of the machine is made up. The available memory is that size minus what the real
servers of the test use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.patchedpython import patched_python
from tests.support.studio import AGENT_PYTHON, Studio

# Runs before the agent, which reads /proc with os.open.
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
    """The size of a machine, stored in the file `path`; the servers that run below `run` use up
    part of it."""

    def __init__(self, path: Path, run: Path) -> None:
        self._path = path
        self.patch = PATCH.format(run=str(run), budget=str(path))
        self.size(LARGE)

    def size(self, size: int) -> None:
        """Set the memory of the machine, in bytes."""
        draft = Path(f"{self._path}.draft")
        draft.write_text(str(size))
        os.replace(draft, self._path)

    def python(self, real: str) -> str:
        """An interpreter under which an agent sees a machine of this size."""
        return patched_python(self._path.with_name("python3"), real, self.patch)


class Cramped(Budget):
    """Make the Studio's agent run on a machine of this size."""

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio.folder / "memory", studio.state_dir / "run")
        studio.describe(python=self.python(os.environ.get(AGENT_PYTHON) or sys.executable))
