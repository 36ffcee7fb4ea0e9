"""Fixtures of the download tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fetching import LARGE, LARGE_BYTES, PYTHONS, REPO, Fetch
from tests.support.padding import padding


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with REPO, configured by HF_ENDPOINT, without a login."""
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING_FACE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    files = {**model_files(["I"], pad_mb=1), LARGE: padding(LARGE_BYTES)}
    write_cache(tmp_path / "remote", REPO, files)
    with FakeHub(tmp_path / "remote") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture(params=PYTHONS)
def fetching(request: pytest.FixtureRequest, fake_hub: FakeHub, tmp_path: Path) -> Fetch:
    """With each installed huggingface_hub."""
    return Fetch(fake_hub, tmp_path / "home" / "hub", (request.param(),))


@pytest.fixture
def one_fetching(fake_hub: FakeHub, tmp_path: Path) -> Fetch:
    """With the tests' huggingface_hub only, for tests that do not depend on its version."""
    return Fetch(fake_hub, tmp_path / "home" / "hub", (PYTHONS[0].values[0](),))  # type: ignore[operator]
