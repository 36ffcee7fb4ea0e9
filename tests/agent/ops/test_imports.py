"""The verbs that people run most often load nothing that they do not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Each costs milliseconds; the checks of --deep, the probes and the downloads need them.
HEAVY = ("subprocess", "hashlib", "ast", "shutil", "urllib.request", "tempfile", "ctypes")
ROOMS = ("verify", "loader", "hub", "load", "memory", "doctor")
LOADED = """
import sys
sys.path.insert(0, {root!r})
import mlxops.agent.ops.{verb}
print(*sys.modules)
"""


@pytest.mark.parametrize("verb", ["status", "list"])
def test_a_look_loads_nothing_heavy(verb: str) -> None:
    code = LOADED.format(root=str(ROOT), verb=verb)
    words = [sys.executable, "-I", "-S", "-c", code]
    loaded = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    assert f"mlxops.agent.ops.{verb}" in loaded
    assert not [name for name in HEAVY if name in loaded]
    rooms = [name.removeprefix("mlxops.agent.").partition(".")[0] for name in loaded]
    assert not {*ROOMS} & {*rooms}
