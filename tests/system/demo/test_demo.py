"""`mlxops demo` shows the main job, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.demo.stage import MODELS, answer_of
from tests.support.fakeruntime import SHOWN
from tests.support.studio import ROOT


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[list[str]]:
    yield [sys.executable, "-m", "mlxops", "demo"]
    assert list(tmp_path.glob("mlxops-demo-*")) == []


def start(argv: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def test_it_proves_the_swap(begin: list[str], tmp_path: Path) -> None:
    process = start(begin, tmp_path)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert [output.count(answer_of(name)) for name in MODELS.values()] == [1, 1]
    steps = [line.split()[2] for line in output.splitlines() if line.startswith("$ mlxops")]
    changes = ["init", "list", "load", "load", "status", "reconcile", "restart", "unload"]
    assert steps == [*changes, "history"]
    assert output.splitlines()[-1].startswith("Proven: ")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["waiting for the server", "stopping ", "$ mlxops status"])
def test_ctrl_c_at_any_moment_cleans_up(begin: list[str], tmp_path: Path, moment: str) -> None:
    process = start(begin, tmp_path)
    assert process.stdout is not None
    heard = next(line for line in process.stdout if moment in line)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=180)[0]
    assert process.returncode == 130, heard + rest
    assert "Traceback" not in rest and "Proven" not in rest


def test_a_server_that_will_not_start_fails_the_demo(begin: list[str], tmp_path: Path) -> None:
    """The runtime is searched beside the interpreter: here it has a broken neighbour."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script(folder / "python3", f'exec {sys.executable} "$@"')
    shown = SHOWN["mlx_lm.server"]
    script(
        folder / "mlx_lm.server",
        f'[ "$1" = --help ] && exec cat {shown}; echo out of memory; exit 1',
    )
    program = (
        f"import sys; sys.executable = {str(folder / 'python3')!r}; sys.argv[1:] = ['demo']; "
        "from mlxops.__main__ import main; main()"
    )
    process = start([sys.executable, "-c", program], tmp_path)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 8, output
    assert "out of memory" in output and "Traceback" not in output


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
