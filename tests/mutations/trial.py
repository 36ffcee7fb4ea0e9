"""One mutant: apply it to a copy of the tree, run the tests that must fail, restore the file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .mutant import Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("mlxops", "tests", "hosts")
LONGEST_S = 120.0
# Exit statuses of pytest. Tests that cannot be collected prove nothing.
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Outcome:
    """`status` of pytest; None if it took too long."""

    status: int | None
    seconds: float
    said: str

    @property
    def verdict(self) -> str:
        known = {PASSED: "passed", FAILED: "failed", None: "hung"}
        return known.get(self.status, f"status {self.status}")


class Copy:
    """A copy of the tree in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "pyproject.toml", folder)

    def without(self, mutant: Mutant) -> Outcome:
        """Run the tests of a mutant on the mutated code."""
        with self._mutated(mutant):
            return self.run(mutant.tests)

    @contextmanager
    def _mutated(self, mutant: Mutant) -> Iterator[None]:
        place = self.folder / "mlxops" / mutant.file
        text, was = place.read_text(), place.stat()
        place.write_text(mutant.apply(text))
        try:
            yield
        finally:
            place.write_text(text)
            # With its old modification time; otherwise the mutant's bytecode could be used for it.
            os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns))

    def run(self, tests: Sequence[str]) -> Outcome:
        """Run these tests on the unchanged code, until the first one fails."""
        options = [
            "-x",
            "-q",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            str(self.folder / "tmp"),
        ]
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as said:
            argv = [sys.executable, "-m", "pytest", *options, *tests]
            status = _ended(argv, self.folder, said.fileno(), LONGEST_S * len(tests))
            said.seek(0)
            return Outcome(status, time.monotonic() - began, said.read())


def _ended(argv: Sequence[str], folder: Path, said: int, longest_s: float) -> int | None:
    """Exit status; None for a run that hung and was killed with its whole session."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    child = subprocess.Popen(
        argv, cwd=folder, env=env, stdout=said, stderr=said, start_new_session=True
    )
    try:
        return child.wait(longest_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return None


@contextmanager
def copy() -> Iterator[Copy]:
    with tempfile.TemporaryDirectory() as folder:
        yield Copy(Path(folder))
