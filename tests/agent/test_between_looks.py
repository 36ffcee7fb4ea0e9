"""What happens between two looks: one that fails after the first signal, a listener that changes hands.

Also for Python 3.9: PYTHONPATH=tests python3.9 -m pytest --noconftest tests/agent/test_between_looks.py
"""

from __future__ import annotations

import io
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from faltering import Faltering, Interposed
from launching import NAME, Launcher, nothing
from procs_actors import eventually

from mlxops.agent.command import Command
from mlxops.agent.errors import NotReady, NotStopped
from mlxops.agent.life import Client
from mlxops.agent.ops.unload import unload
from mlxops.agent.procs import Procs, Unseen
from mlxops.agent.registry import REQUIRED, Entry
from mlxops.agent.site import Site
from mlxops.agent.stop import stop
from mlxops.agent.store import Store

WHO = {"who": "alice", "from": "mini"}
CHAT = "/v1/chat/completions"


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, "mlx-openai-server")
    yield made
    made.end()


def running(launcher: Launcher, pid: int) -> bool:
    process = launcher.procs.process(pid)
    return process is not None and not process.zombie


def command(launcher: Launcher, folder: Path, procs: Procs, client: Client) -> Command:
    """A command under way on a host whose only port is the launcher's."""
    runtime = {"name": launcher.runtime.name, "grace_s": 1.0}
    site = {"name": "studio", "hf_home": str(folder), "registry": str(folder / "registry.json"), "bind": "127.0.0.1",
            "ports": [launcher.port], "state_dir": launcher.state_dir, "runtime": runtime}  # fmt: skip
    return Command(Site.from_wire(site), Store(site["registry"], WHO), procs, client, WHO)


@pytest.fixture
def client() -> Iterator[Client]:
    out = os.open(os.devnull, os.O_WRONLY)
    yield Client(out, io.BytesIO())
    os.close(out)


@pytest.mark.parametrize(("failing", "dead"), [(1, False), (1, True), (2, True)])
def test_one_look_that_fails_after_the_signal_leaves_no_stop_half_done(launcher: Launcher, failing: int, dead: bool):
    launcher.fake.behaves(linger_s=1.0 if not dead else 0)
    launcher.serving()
    prey, counted = launcher.prey(), count(1)

    def fails() -> bool:
        gone = not any(running(launcher, process.pid) for process in prey.family)
        return gone == dead and next(counted) == failing

    procs = Faltering(fails)
    stop(procs, prey, 20, nothing)
    assert next(counted) > failing
    assert procs.sent == [(prey.target.pid, signal.SIGTERM)]
    assert not any(running(launcher, process.pid) for process in prey.family)


def test_who_sees_nothing_any_more_after_the_signal_claims_nothing_and_kills_nobody(
    launcher: Launcher, tmp_path: Path, client: Client
):
    launcher.fake.behaves(ignore=["TERM"])
    record = launcher.serving().record(WHO)
    prey, blind = launcher.prey(), Faltering(lambda: True)
    under_way = command(launcher, tmp_path, blind, client)
    fields = {**REQUIRED, "cache_path": str(launcher.model), "port": launcher.port, "process": record}
    under_way.store.edit("load", lambda now: now.put(Entry(NAME, fields)))
    before = (tmp_path / "registry.json").read_bytes()
    with pytest.raises((NotStopped, Unseen)):
        unload(under_way, {"port": launcher.port})
    assert set(blind.sent) == {(prey.target.pid, signal.SIGTERM)}
    assert all(running(launcher, process.pid) for process in prey.family)
    assert (tmp_path / "registry.json").read_bytes() == before


def handed_over(launcher: Launcher, held: ExitStack) -> Callable[[], None]:
    """The server dies, and somebody else is on its port before the next look."""

    def deed() -> None:
        for process in launcher.prey().family:
            launcher.procs.send(process, signal.SIGKILL)
        eventually(lambda: launcher.procs.free(launcher.port, "127.0.0.1"))
        server = held.enter_context(socket.socket())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", launcher.port))
        server.listen()

    return deed


def test_a_listener_that_changes_hands_after_the_chat_is_not_ready(launcher: Launcher):
    def chatted() -> bool:
        return any(record["path"] == CHAT for record in launcher.fake.journal("request"))

    gated = launcher.launch()
    with ExitStack() as held:
        real, procs = launcher.procs, Interposed(chatted, handed_over(launcher, held))
        launcher.procs = procs
        try:
            with pytest.raises(NotReady, match=f"does not own its port: pid {os.getpid()} does"):
                launcher.wait(gated)
        finally:
            launcher.procs = real
    assert procs.done
