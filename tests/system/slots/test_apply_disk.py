"""apply refuses downloads that the disk has no space for together, though each of them fits."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mlxops.agent.errors import NotEnoughDisk
from mlxops.agent.hub.checks import SPARE_BYTES
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.applying import apply, plan, verdicts
from tests.support.asking import refusal
from tests.support.fakehub import FakeHub
from tests.support.padding import padding
from tests.support.smalldisk import SmallDisk
from tests.support.studio import Studio

MODELS = ("tiny/onyx", "tiny/pearl")
MODEL_MB = 8


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_nothing_is_downloaded_if_the_disk_has_no_space_for_all(
    one: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for repo in MODELS:
        files = {**model_files([" " + repo]), "model-x.safetensors": padding(MODEL_MB << 20)}
        write_cache(tmp_path / "remote", repo, files)
    one.describe(hub_python=sys.executable)
    disk = SmallDisk(one.hub, mb=(SPARE_BYTES >> 20) + MODEL_MB * 3 // 2)
    with FakeHub(tmp_path / "remote") as hub, disk:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        first, second, _ = one.ports
        one.declare({first: MODELS[0], second: MODELS[1]})
        assert verdicts(plan(one)) == ["download", "download", "leave"]
        error = refusal(one, "apply")
        assert isinstance(error, NotEnoughDisk) and error.exit_code == 10
        assert f"port {first}: " in error.message and f"port {second}: " in error.message
        assert [row["verdict"] for row in error.fields["rows"]] == ["download", "download", "leave"]
        assert not list(one.hub.glob("models--tiny--*/blobs/*"))
        assert apply(one, ports=[first])["rows"][0]["ok"]
