"""Two hosts on one machine: two sshd, each with its own home and state folder; the first is a
Studio that knows the second by an ssh name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mlxops.agent.ranks.ranks import FIRST_RING_PORT
from mlxops.agent.registry.fields import MAX_HOSTS
from mlxops.demo.loopback import Login
from tests.support.sshd import Sshd
from tests.support.studio import Studio, eventually
from tests.support.survivors import living

PEER = "second"


class TwoHosts:
    """A context manager. `studio`'s host is the first one; `peer` is the sshd of the second one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        tools = folder / "tools"
        tools.mkdir()
        self.folder = folder
        self.first = Sshd(folder / "first", path=f"{tools}:{os.environ['PATH']}")
        self.peer = Sshd(folder / PEER, path=os.environ["PATH"])
        self.peer.known_as(PEER, tools)

    @property
    def login(self) -> Login:
        first = self.first
        return Login(
            "127.0.0.1", first.port, first.user, str(first.client_key), str(first.known_hosts)
        )

    def __enter__(self) -> TwoHosts:
        self.first.start()
        self.peer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.first.stop()
        self.peer.stop()


class Divided:
    """A Studio whose entry amber runs on both hosts."""

    def __init__(self, studio: Studio, two: TwoHosts) -> None:
        self.studio, self.two, self.port = studio, two, studio.ports[0]
        ring = FIRST_RING_PORT + self.port % 1000 * MAX_HOSTS
        self._words = re.compile(f"--port ({self.port}|{ring // 10}[1-9])\\b")
        studio.describe(state_dir="~/.mlxops")
        studio.must("init")
        studio.must("set", "amber", f"hosts=first=127.0.0.1 {PEER}=127.0.0.1")

    @property
    def state_dirs(self) -> tuple[Path, Path]:
        return self.two.first.home / ".mlxops", self.two.peer.home / ".mlxops"

    def load(self) -> tuple[int, int]:
        """Load it; the pids of both ranks."""
        self.studio.must("load", "amber", self.port)
        return self.pids()

    def pids(self) -> tuple[int, int]:
        process: dict[str, Any] = self.studio.entry("amber")["process"]
        return process["pid"], process["ranks"][0]["pid"]

    def recorded(self) -> set[int]:
        process: dict[str, Any] = self.studio.entry("amber").get("process") or {}
        return {row["pid"] for row in [process, *process.get("ranks", [])] if row}

    def servers(self) -> set[int]:
        """The ranks, by the port of clients or by those of the ring, including those waiting at
        their gates."""
        mine = (self.two.folder.parent, self.studio.folder)
        found = {pid: line for folder in mine for pid, line in living(folder).items()}
        return {
            pid
            for pid, line in found.items()
            if self._words.search(line) and "mlx_lm.server" in line
        }

    def gone(self) -> bool:
        return bool(eventually(lambda: not self.servers(), 20))
