"""Stand-in servers started the way the agent starts them. Runs on Python 3.9 too."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlxops.agent.context import Context
from mlxops.agent.ports.observe import find_servers
from mlxops.agent.procs import Procs, local_procs, tree
from mlxops.agent.registry.store import Store
from mlxops.agent.runtimes.table import RUNTIMES, Launch, argv, parse_help
from mlxops.agent.servers.launch import PendingServer, launch
from mlxops.agent.servers.ready import StartingServer, wait_ready
from mlxops.agent.servers.startup_time import StartupEstimate
from mlxops.agent.servers.stop import StopTarget, stop_target
from mlxops.agent.site import Site, log_path
from mlxops.agent.verify.verification import Verification
from mlxops.agent.wire.client import ClientLink
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.procs_actors import eventually

NAME = "jerry"
WHO = {"who": "alice", "from": "mini"}


def nothing(*_: Any) -> None:
    return


class Launcher:
    """Starts stand-ins of one runtime on one free port, and ends those that are left."""

    def __init__(self, folder: Path, runtime: str) -> None:
        self.runtime = RUNTIMES[runtime]
        self.fake = FakeRuntime(folder / "bin", runtime)
        self.procs: Procs = local_procs()
        self.state_dir = str(folder / "state")
        self.port = free_range(1)[0]
        self.model = folder / "models--org--amber"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}")
        self.started: list[PendingServer] = []

    @property
    def argv(self) -> tuple[str, ...]:
        launch = Launch(str(self.model), self.port, "127.0.0.1", NAME)
        help_text = self.fake.program.with_name(self.fake.program.name + ".help").read_text()
        return argv(self.runtime, self.fake.command, launch, parse_help(help_text))

    def at_the_gate(self, **env: str) -> PendingServer:
        self.started.append(launch(self.procs, self.argv, env, self.state_dir, self.port))
        return self.started[-1]

    def launch(self) -> PendingServer:
        gated = self.at_the_gate()
        gated.release()
        return gated

    def wait(
        self, gated: PendingServer, timeout_s: float = 20.0, check: Any = nothing
    ) -> Verification:
        named = NAME if self.runtime.served_name else None
        chat_name = self.runtime.client_model or NAME
        wanted = StartingServer(
            gated,
            self.runtime,
            self.port,
            "127.0.0.1",
            named,
            chat_name,
            self.log,
            time.monotonic(),
        )
        return wait_ready(self.procs, wanted, StartupEstimate(None, timeout_s), check, nothing)

    def serving(self) -> PendingServer:
        gated = self.launch()
        self.wait(gated)
        return gated

    @property
    def log(self) -> str:
        return log_path(self.state_dir, self.port)

    def prey(self) -> StopTarget:
        (server,) = find_servers(self.procs.processes(), RUNTIMES)[self.port]
        return stop_target([server], self.port, "127.0.0.1")

    def signals(self) -> list[str]:
        return [record["signal"] for record in self.fake.journal("signal")]

    def end(self) -> None:
        """Kill the servers that the test left, each found by its process group."""
        for gated in self.started:
            table = self.procs.processes()
            pid = gated.process.pid
            for process in {*tree(table, pid), *(p for p in table.values() if p.pgid == pid)}:
                self.procs.send(process, signal.SIGKILL)
            gated.abort()
            eventually(lambda gated=gated: gated.exited() is not None)


@contextmanager
def context(launcher: Launcher, folder: Path, procs: Any) -> Iterator[Context]:
    """The context of a command on a host whose only port is the launcher's, for a client that sends
    nothing."""
    runtime = {"name": launcher.runtime.name, "grace_s": 1.0}
    site = {
        "name": "studio",
        "hf_home": str(folder),
        "registry": str(folder / "registry.json"),
        "bind": "127.0.0.1",
        "ports": [launcher.port],
        "state_dir": launcher.state_dir,
        "runtime": runtime,
    }
    with open(os.devnull, "wb") as out:
        client = ClientLink(out.fileno(), io.BytesIO())
        yield Context(Site.from_wire(site), Store(str(site["registry"]), WHO), procs, client, WHO)


def since(record: dict[str, Any]) -> float:
    """Seconds since a line of the journal."""
    return time.time() - float(record["time"])


# Starts a stand-in as an agent would while it holds a lock, then does what the third argument says.
AGENT = """
import sys, time
from mlxops.agent.servers.launch import launch
from mlxops.agent.registry.lock import FileLock
from mlxops.agent.procs import local_procs

state_dir, port, then, *argv = sys.argv[1:]
FileLock(state_dir + ".lock").acquire({}, 0)
gated = launch(local_procs(), argv, {}, state_dir, int(port))
if then == "release":
    gated.release()
print(gated.process.pid, flush=True)
time.sleep(60 if then == "wait" else 0)
"""


def agent_argv(launcher: Launcher, then: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        AGENT,
        launcher.state_dir,
        str(launcher.port),
        then,
        *launcher.argv,
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
