"""A host without problems, for tests to break; `doctor` is called as the agent's main calls it."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.context import Context
from mlxops.agent.doctor.folders import SUBFOLDERS
from mlxops.agent.errors import Interrupted
from mlxops.agent.ops.doctor import doctor
from mlxops.agent.procs import Procs, local_procs
from mlxops.agent.registry.store import Store
from mlxops.agent.site import Site
from mlxops.agent.wire import stub, unpack
from mlxops.agent.wire.stub import StageFailed
from mlxops.demo.tinymodel import write_cache
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.stubbed import agent

WHO = {"who": "alice", "from": "mini"}
PARSER = "qwen3_moe"


class Listener:
    """The client at the other end."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.cancelled = False

    def emit(self, name: str, **fields: Any) -> None:
        self.events.append({"event": name, **fields})

    def check(self) -> None:
        if self.cancelled:
            raise Interrupted("cancelled")


@dataclass
class Healthy:
    """`site` is the one of a request; `runtime` is the stand-in program."""

    folder: Path
    runtime: FakeRuntime
    client: Listener = field(default_factory=Listener)
    procs: Procs = field(default_factory=local_procs)

    def __post_init__(self) -> None:
        self.state, self.hub = self.folder / "state", self.folder / "hf" / "hub"
        self.registry = self.hub / "registry.json"
        self.site: dict[str, Any] = {
            "name": "studio",
            "hf_home": str(self.hub.parent),
            "registry": str(self.registry),
            "ports": free_range(2),
            "bind": "127.0.0.1",
            "state_dir": str(self.state),
            "runtime": {"name": "mlx-openai-server", "command": self.runtime.command, "grace_s": 5},
        }
        self.site["slots"] = {str(port): {"name": f"slot-{port}"} for port in self.site["ports"]}
        self.hub.mkdir(parents=True)
        for path in (self.state, *(self.state / name for name in SUBFOLDERS)):
            path.mkdir(0o700)
        self.keep_agent()

    @property
    def port(self) -> int:
        return int(self.site["ports"][0])

    def keep_agent(self) -> None:
        """Write a cached agent, as on a host."""
        packed = agent(self.folder / "source")
        self.kept = self.state / "agent" / packed.digest
        payload = zlib.compress(packed.text)
        modules = unpack.compile_bundle(payload, packed.digest, StageFailed)
        assert not unpack.cache_image(
            stub.seal(packed.digest, modules, payload), str(self.kept), stub.IMAGE
        )

    def add(self, files: Mapping[str, bytes], name: str = "amber", **fields: Any) -> Path:
        """Add an entry with its snapshot."""
        path = write_cache(self.hub, f"tiny/{name}", files)
        self.enter(name, cache_path=str(path), tool_call_parser=PARSER, **fields)
        return path

    def enter(self, name: str, **fields: Any) -> None:
        models = json.loads(self.registry.read_text())["models"] if self.registry.exists() else {}
        empty = {
            "repo_id": f"tiny/{name}",
            "model_id": "",
            "cache_path": "",
            "format": "mlx",
            "port": None,
        }
        models[name] = {**empty, **fields}
        self.registry.write_text(json.dumps({"version": 1, "models": models}))

    def doctor(self, **args: bool) -> dict[str, Any]:
        site = Site.from_wire(self.site)
        client: Any = self.client
        return doctor(Context(site, Store(site.registry, WHO), self.procs, client, WHO), args)

    def rows(self, check: str | None = None, **args: bool) -> list[dict[str, Any]]:
        return [row for row in self.doctor(**args)["checks"] if check in (None, row["check"])]

    def troubles(self, **args: bool) -> list[tuple[str, str]]:
        """Check and verdict of every row that is not ok."""
        return [
            (row["check"], row["verdict"]) for row in self.rows(**args) if row["verdict"] != "ok"
        ]

    def row(self, check: str, verdict: str) -> dict[str, Any]:
        """The only row of a check with this verdict."""
        found = [row for row in self.rows(check) if row["verdict"] == verdict]
        assert len(found) == 1, self.rows(check)
        return found[0]


def aged(path: Path, seconds: float = 90_000) -> Path:
    """The path, with a modification time in the past."""
    when = path.lstat().st_mtime - seconds
    os.utime(path, (when, when), follow_symlinks=False)
    return path


def write(path: Path, text: str = "") -> None:
    path.write_text(text)


def without(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def file_instead(path: Path) -> None:
    without(path)
    write(path)


@pytest.fixture
def host(tmp_path: Path, tiny_models: dict[str, dict[str, bytes]]) -> Healthy:
    healthy = Healthy(tmp_path / "host", FakeRuntime(tmp_path / "env" / "bin"))
    healthy.add(tiny_models["tiny/amber"])
    return healthy
