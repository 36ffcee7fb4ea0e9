"""Every bench starts and explains itself; those that are over in seconds run to their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHES = sorted(
    path.stem for path in Path(__file__).parent.glob("[a-z]*.py") if "test_" not in path.stem
)
SHORTEST = {
    "apply": ("--rounds", "1", "--ports", "2"),
    "load": ("--rounds", "1"),
    "many": ("--rounds", "1", "--hosts", "2"),
    "memory": ("--tokens", "50", "--family", "llama"),
    "speed": ("--rounds", "1"),
}
STARTED_S = 3.0
ENDS_WITHIN_S = 60.0


def start(folder: Path, bench: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.bench.{bench}", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Ctrl-C reaches it even if this run was started with the signal ignored, as by a shell's &.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("bench", BENCHES)
def test_help_is_help(bench: str, tmp_path: Path) -> None:
    process = start(tmp_path, bench, "--help")
    said = process.communicate(timeout=ENDS_WITHIN_S)[0]
    assert process.returncode == 0 and said.startswith("usage:"), said


@pytest.mark.slow
@pytest.mark.openssh
@pytest.mark.parametrize("bench", SHORTEST)
def test_the_shortest_run_prints_figures(bench: str, tmp_path: Path) -> None:
    process = start(tmp_path, bench, *SHORTEST[bench])
    said = process.communicate(timeout=ENDS_WITHIN_S * 2)[0]
    assert process.returncode == 0 and any(char.isdigit() for char in said), said


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["downtime", "blackhole"])
def test_a_long_one_starts(bench: str, tmp_path: Path) -> None:
    """It works for some seconds, and Ctrl-C ends it with what it started."""
    process = start(tmp_path, bench)
    try:
        said = process.communicate(timeout=STARTED_S)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=ENDS_WITHIN_S)[0]
        assert process.returncode == -signal.SIGINT, said
    else:
        assert said.startswith(("cannot run here", "unshare:")), said
