"""A host whose runtime is the mlx-lm of the tests' own environment."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.agent.context import Context
from mlxops.agent.procs import local_procs
from mlxops.agent.registry.store import Store
from mlxops.agent.runtimes.table import RUNTIMES, Runtime
from mlxops.agent.site import Site
from mlxops.agent.wire.client import ClientLink

WHO = {"who": "alice", "from": "mini"}
RUNTIME: Runtime = RUNTIMES["mlx_lm.server"]


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
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
