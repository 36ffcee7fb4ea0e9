"""A reboot of a Studio's machine: every server is gone at once, and the boot has another id."""

from __future__ import annotations

import os
import sys
import uuid

from tests.support.intent import kill
from tests.support.patchedpython import patched_python
from tests.support.studio import AGENT_PYTHON, Studio

# Runs before the agent, which reads /proc with os.open.
PATCH = """
import os as _os
def _booted(path, *rest, _open=_os.open, **more):
    return _open({boot!r} if path == "/proc/sys/kernel/random/boot_id" else path, *rest, **more)
_os.open = _booted
"""


class Machine:
    """The machine of a Studio on Linux; its agents see a made-up boot id from now on."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._boot = studio.folder / "boot_id"
        with open("/proc/sys/kernel/random/boot_id") as file:
            self._boot.write_text(file.read())
        real = os.environ.get(AGENT_PYTHON) or sys.executable
        patch = PATCH.format(boot=str(self._boot))
        studio.describe(python=patched_python(studio.folder / "booted-python", real, patch))

    def reboot(self) -> None:
        kill(self._studio)
        self._boot.write_text(f"{uuid.uuid4()}\n")
