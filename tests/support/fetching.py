"""Shared by the download tests: interpreters with huggingface_hub, and one download from the fake
Hub."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlxops.agent.hub import download as fetch
from mlxops.agent.hub.remote import Remote
from tests.support.fakehub import FakeHub

REPO = "tiny/large"
LARGE = "model-padding.safetensors"
# huggingface_hub writes, and therefore resumes, in chunks of 10 MiB.
LARGE_BYTES = 24 << 20
CUT_AFTER = 12 << 20


def own() -> str:
    """The huggingface_hub of the tests' environment: 2.x."""
    return sys.executable


def of_the_openai_server() -> str:
    """The huggingface_hub in the environment of mlx-openai-server: 1.x."""
    return os.path.join(os.environ["MLXOPS_TEST_OPENAI_SERVER"], "bin", "python")


def told(path: str) -> Callable[[], str]:
    return lambda: path


# MLXOPS_TEST_HUB_PYTHON lists further interpreters, such as a Python 3.9.
MORE = [
    pytest.param(told(path), id=path)
    for path in os.environ.get("MLXOPS_TEST_HUB_PYTHON", "").split(":")
    if path
]
PYTHONS = [
    pytest.param(own, id="own"),
    pytest.param(of_the_openai_server, id="openai_server", marks=pytest.mark.openai_server),
    *MORE,
]


@dataclass
class Fetch:
    """Downloads REPO into `cache` and records the progress as (done, total, file)."""

    hub: FakeHub
    cache: Path
    python: tuple[str, ...]
    progress: list[tuple[int, int, str]] = field(default_factory=list)

    def describe(self, repo_id: str = REPO, revision: str | None = None) -> Remote:
        return fetch.describe(self.python, repo_id, revision, str(self.cache))

    def download(
        self,
        watch: Callable[[], None] = lambda: None,
        cancelled: Callable[[], bool] = lambda: False,
        revision: str | None = None,
        tries: int = fetch.TRIES,
    ) -> Path:
        def on_progress(done: int, total: int, file: str) -> None:
            self.progress.append((done, total, file))
            watch()

        remote = self.describe(revision=revision)
        return Path(
            fetch.download(self.python, remote, str(self.cache), on_progress, cancelled, tries)
        )

    def under_way(self) -> bool:
        return any(CUT_AFTER // 2 < done < LARGE_BYTES for done, _, _ in self.progress)

    @property
    def repo(self) -> Path:
        return self.cache / ("models--" + REPO.replace("/", "--"))

    def unfinished(self) -> list[Path]:
        return list(self.repo.glob("blobs/*.incomplete"))
