"""Accounts created for one test, and processes that run as them."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.strangers import NOBODY
from tests.support.studio import ROOT, Answer, Studio, finished

PROBE = "import sys; sys.exit(sys.version_info < (3, 11))"
NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make users and run programs as them"
)


def interpreter() -> str:
    """A Python 3.11 that every user may run; the one of the tests may be in root's home."""
    for found in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with suppress(OSError):
            if subprocess.run([found, "-c", PROBE], **who, capture_output=True).returncode == 0:
                return found
    raise AssertionError("these tests need a python3 of 3.11 or later that every user may run")


def requirements(name: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """The installed packages that `name` requires, including itself but without extras."""
    if name in known:
        return known
    known |= {name}
    for line in metadata.requires(name) or ():
        needed = re.match(r"[\w.-]+", line)
        with suppress(metadata.PackageNotFoundError):
            if needed and "extra ==" not in line:
                known = requirements(re.sub(r"[-_.]+", "-", needed[0]).lower(), known)
    return known


def copy_code(folder: Path) -> None:
    """Copy mlxops, its requirements and the stand-in servers: other users cannot read a clone in
    root's home."""
    for part in ("mlxops", "tests/__init__.py", "tests/support", "tests/fixtures/help"):
        copied = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copied(ROOT / part, folder / part)
    for name in requirements("mlxops") - {"mlxops"}:
        for path in metadata.files(name) or ():
            if ".." not in path.parts:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path.locate(), folder / path)


class Account:
    """A context manager: an account with its home below `folder`, which runs the code below
    `code`."""

    def __init__(self, name: str, folder: Path, code: Path) -> None:
        self.name = f"{name}{os.getpid()}"[:31]
        self.code = code
        folder.chmod(0o755)
        self.home = folder / self.name
        self._begun: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Account:
        self.python = interpreter()
        subprocess.run(
            ["useradd", "--no-create-home", "--home-dir", self.home, self.name], check=True
        )
        self.uid, self.gid = pwd.getpwnam(self.name)[2:4]
        self.home.mkdir()
        self.owns(self.home)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._begun:
            process.kill()
            process.communicate()
        # --force: a failed test may have left a server of this user running.
        subprocess.run(["userdel", "--force", self.name], check=True, capture_output=True)

    def owns(self, folder: Path) -> None:
        """Make the user the owner of a folder and everything in it."""
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    @property
    def identity(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def run(self, *argv: object, **popen: Any) -> subprocess.Popen[bytes]:
        """Start a program as the user; the end of the test kills it."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        words = list(map(str, argv))
        self._begun.append(
            subprocess.Popen(words, cwd=self.home, **self.identity, **{**pipes, **popen})
        )
        return self._begun[-1]

    def mlxops(self, studio: Studio, *words: object) -> Answer:
        """Run one command with --json as the user, including the agent."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        argv = [self.python, *studio.argv("--json", *words)[1:]]
        env = {**os.environ, **studio.env, "HOME": str(self.home), "PYTHONPATH": str(self.code)}
        return finished(
            subprocess.Popen(argv, text=True, env=env, cwd=self.home, **self.identity, **pipes)
        )

    def runtime(self, name: str = "mlx_lm.server") -> FakeRuntime:
        """A stand-in server that belongs to the user."""
        made = FakeRuntime(self.home / "bin", name, python=self.python, root=self.code)
        self.owns(self.home)
        return made
