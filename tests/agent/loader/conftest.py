"""A host whose runtime is the mlx-lm of the tests' own environment."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.context import Context
from mlxops.agent.loader.ask import describe
from mlxops.agent.loader.description import Description
from mlxops.agent.loader.source import Folder
from mlxops.agent.procs import local_procs
from mlxops.agent.registry.store import Store
from mlxops.agent.runtimes.table import RUNTIMES, Runtime
from mlxops.agent.site import Site
from mlxops.agent.wire.client import ClientLink
from mlxops.demo.tinymodel import model_files

WHO = {"who": "alice", "from": "mini"}
RUNTIME: Runtime = RUNTIMES["mlx_lm.server"]


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    # So that a child that is left running is seen to be of this test.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    site = Site.from_wire(
        {
            "name": "studio",
            "hf_home": str(tmp_path / "hf"),
            "registry": str(tmp_path / "hf" / "registry.json"),
            "bind": "127.0.0.1",
            "ports": [8100],
            "state_dir": str(tmp_path / "state"),
            "runtime": {"name": RUNTIME.name, "grace_s": 1.0},
        }
    )
    with open(os.devnull, "wb") as out:
        client = ClientLink(out.fileno(), io.BytesIO())
        yield Context(site, Store(site.registry, WHO), local_procs(), client, WHO)


@pytest.fixture
def command() -> list[str]:
    """The words that start the real mlx_lm.server."""
    program = Path(sys.executable).with_name("mlx_lm.server")
    if not program.exists():
        pytest.skip("the tests' Python has no mlx-lm")
    return [str(program)]


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder with a whole tiny model."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in model_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def describe_folder(
    ctx: Context, command: list[str], model_folder: Path
) -> Callable[..., Description]:
    """Describe the tiny model with these files changed, None for one that is missing."""

    def ask(files: Mapping[str, bytes | None], **options: Any) -> Description:
        for name, content in files.items():
            (model_folder / name).unlink(missing_ok=True)
            if content is not None:
                (model_folder / name).write_bytes(content)
        said = describe(ctx, RUNTIME, command, Folder(str(model_folder)), **options)
        assert said is not None
        return said

    return ask
