"""What happens between two looks: one that fails after the first signal, a listener that changes hands.

Also for Python 3.9: PYTHONPATH=. python3.9 -m pytest --noconftest tests/agent/test_between_looks.py
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from mlxops.agent.errors import NotReady, NotStopped
from mlxops.agent.ops.unload import unload
from mlxops.agent.ports.observe import look
from mlxops.agent.procs import Unseen
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.servers.stop import stop
from tests.support.faltering import Bereaved, Faltering, Interposed
from tests.support.launching import NAME, WHO, Launcher, command, nothing
from tests.support.procs_actors import eventually
from tests.support.procs_actors import running as actor

CHAT = "/v1/chat/completions"


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, "mlx-openai-server")
    yield made
    made.end()


def running(launcher: Launcher, pid: int) -> bool:
    process = launcher.procs.process(pid)
    return process is not None and not process.zombie


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_looks_that_fail_after_the_signal_neither_end_a_stop_nor_pass_for_proof(launcher: Launcher, failing: int):
    """All of them while something of it lives on behind a free port, or just one of those that would show it gone."""
    launcher.fake.behaves(linger_s=0.5)
    launcher.serving()
    prey, failed = launcher.prey(), count(1)

    def fails() -> bool:
        gone = not any(running(launcher, process.pid) for process in prey.family)
        return next(failed) == failing if gone else failing == 0 and next(failed) > 0

    procs = Faltering(fails)
    stop(procs, prey, 20, nothing)
    assert not any(running(launcher, process.pid) for process in prey.family)
    assert next(failed) > 1
    assert procs.sent == [(prey.targets[0].pid, signal.SIGTERM)]


def test_who_sees_nothing_any_more_after_the_signal_claims_nothing_and_kills_nobody(launcher: Launcher, tmp_path: Path):
    launcher.fake.behaves(ignore=["TERM"])
    record = launcher.serving().record(WHO)
    prey, blind = launcher.prey(), Faltering(lambda: True)
    fields = {**REQUIRED, "cache_path": str(launcher.model), "port": launcher.port, "process": record}
    with command(launcher, tmp_path, blind) as unloading:
        before = unloading.store.edit("load", lambda now: now.put(Entry(NAME, fields)))
        with pytest.raises((NotStopped, Unseen)):
            unload(unloading, {"port": launcher.port})
        assert unloading.store.read() == before
    assert set(blind.sent) == {(prey.targets[0].pid, signal.SIGTERM)}
    assert all(running(launcher, process.pid) for process in prey.family)


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
            with pytest.raises(NotReady, match=rf"does not own its port: pid {os.getpid()} \(user .*\) has it"):
                launcher.wait(gated)
        finally:
            launcher.procs = real
    assert procs.done


LENDER = """
import os, socket, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
child = os.fork()
if child:
    print(server.getsockname()[1], child, flush=True)
time.sleep(600)
"""


def test_a_child_that_had_the_socket_and_is_a_zombie_by_the_second_look_owns_nothing():
    """Whatever starts a compiler forks such a child; its parent alone is the owner."""
    with actor(LENDER) as parent:
        port, child = map(int, parent.said.split())
        procs = Bereaved(child)
        assert {ln.pid for ln in procs.listeners([port])} == {parent.pid, child}
        sight = look(procs, [port])
        assert [ln.pid for ln in sight.listeners or ()] == [parent.pid]
        assert sight.table[child].zombie
