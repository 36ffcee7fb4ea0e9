"""Changes between two observations: one fails after the first signal, a listener changes hands.
Runs on Python 3.9 too."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import NotReady, NotStopped, RegistryInvalid
from mlxops.agent.ops.unload import unload
from mlxops.agent.ports.observe import scan
from mlxops.agent.procs import Unobservable
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.registry.store import Store
from mlxops.agent.servers.stop import stop
from tests.support.faltering import Bereaved, Faltering, Interposed
from tests.support.launching import NAME, WHO, Launcher, context, nothing
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
def test_looks_that_fail_after_the_signal_neither_end_a_stop_nor_pass_for_proof(
    launcher: Launcher, failing: int
):
    """Every observation fails while a part of the server lives on behind a free port; or only one
    that would show it gone."""
    launcher.fake.behaves(linger_s=0.5)
    launcher.serving()
    prey, failed = launcher.prey(), count(1)

    def fails() -> bool:
        gone = not any(running(launcher, process.pid) for process in prey.processes)
        return next(failed) == failing if gone else failing == 0 and next(failed) > 0

    procs = Faltering(fails)
    stop(procs, prey, 20, nothing)
    assert not any(running(launcher, process.pid) for process in prey.processes)
    assert next(failed) > 1
    assert procs.sent == [(prey.first[0].pid, signal.SIGTERM)]


def test_who_sees_nothing_any_more_after_the_signal_claims_nothing_and_kills_nobody(
    launcher: Launcher, tmp_path: Path
):
    launcher.fake.behaves(ignore=["TERM"])
    record = launcher.serving().record(WHO)
    prey, blind = launcher.prey(), Faltering(lambda: True)
    fields = {
        **REQUIRED,
        "cache_path": str(launcher.model),
        "port": launcher.port,
        "process": record,
    }
    with context(launcher, tmp_path, blind) as unloading:
        before = unloading.store.edit("load", lambda now: now.put(Entry(NAME, fields)))
        with pytest.raises((NotStopped, Unobservable)):
            unload(unloading, {"port": launcher.port})
        assert unloading.store.read() == before
    assert set(blind.sent) == {(prey.first[0].pid, signal.SIGTERM)}
    assert all(running(launcher, process.pid) for process in prey.processes)


class Unreadable(Store):
    """Reads of the registry fail with EIO, from the first number to the last, counted from 1."""

    def __init__(self, path: str, first: int, last: int) -> None:
        super().__init__(path, WHO)
        self.failing, self.reads = range(first, last + 1), count(1)

    def _read(self) -> Any:
        if next(self.reads) in self.failing:
            raise RegistryInvalid(
                f"cannot read {self.path}: Input/output error", "check the disk", path=self.path
            )
        return super()._read()


@pytest.mark.slow
@pytest.mark.parametrize(("first", "last"), [(1, 1), (2, 2), (1, 2)])
def test_an_unload_that_could_not_read_the_registry_before_the_stop_reads_it_again(
    launcher: Launcher, tmp_path: Path, first: int, last: int
):
    fields = {
        **REQUIRED,
        "cache_path": str(launcher.model),
        "port": launcher.port,
        "wanted": launcher.port,
    }
    with context(launcher, tmp_path, launcher.procs) as unloading:
        record = launcher.serving().record(WHO)
        unloading.store.edit(
            "load", lambda now: now.put(Entry(NAME, {**fields, "process": record}))
        )
        failing = unloading._replace(store=Unreadable(unloading.store.path, first, last))
        row = unload(failing, {"port": launcher.port})
        assert (row["entry"], row["state"], row["changed"]) == (NAME, "free", True)
        left = unloading.store.read().entries[NAME]
        assert (left.port, left.wanted, left.process) == (None, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [None, [{"host": "second", "pid": 1}]])
def test_an_unload_that_stopped_the_server_and_could_not_clear_the_assignment_says_so(
    launcher: Launcher, tmp_path: Path, ranks: Any
):
    """The registry stays unreadable; or it can be read only after the stop, and names processes on
    other hosts."""
    fields = {**REQUIRED, "cache_path": str(launcher.model), "port": launcher.port}
    with context(launcher, tmp_path, launcher.procs) as unloading:
        record = launcher.serving().record(WHO)
        process = {**record, "ranks": ranks} if ranks else record
        before = unloading.store.edit(
            "load", lambda now: now.put(Entry(NAME, {**fields, "process": process}))
        )
        failing = unloading._replace(store=Unreadable(unloading.store.path, 1, 2 if ranks else 99))
        with pytest.raises(RegistryInvalid) as refused:
            unload(failing, {"port": launcher.port})
        error = refused.value
        assert (
            f"port {launcher.port} is free (pid {record['pid']} was stopped), but" in error.message
        )
        assert "Input/output error" in error.message and error.fields["stopped"] is True
        assert error.hint.endswith(f"; then free it with: mlxops unload {launcher.port}")
        assert unloading.store.read() == before and not running(launcher, record["pid"])


@pytest.mark.parametrize(
    ("args", "first"),
    [({"word": NAME}, 1), ({"word": NAME}, 2), ({"registered": True}, 1)],
    ids=["an entry's name", "an entry's name, from the second look on", "only what is registered"],
)
def test_an_unload_that_needs_the_registry_to_know_what_is_meant_stops_nothing_without_it(
    launcher: Launcher, tmp_path: Path, args: dict[str, Any], first: int
):
    fields = {**REQUIRED, "cache_path": str(launcher.model), "port": launcher.port}
    with context(launcher, tmp_path, launcher.procs) as unloading:
        record = launcher.serving().record(WHO)
        before = unloading.store.edit(
            "load", lambda now: now.put(Entry(NAME, {**fields, "process": record}))
        )
        failing = unloading._replace(store=Unreadable(unloading.store.path, first, 99))
        with pytest.raises(RegistryInvalid, match="Input/output error") as refused:
            unload(failing, {"port": launcher.port, **args})
        assert "stopped" not in refused.value.fields
        assert unloading.store.read() == before and running(launcher, record["pid"])


def handed_over(launcher: Launcher, held: ExitStack) -> Callable[[], None]:
    """The server dies, and another process takes its port before the next observation."""

    def deed() -> None:
        for process in launcher.prey().processes:
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
            with pytest.raises(
                NotReady, match=rf"does not own its port: it belongs to pid {os.getpid()} \(user "
            ):
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
    """Starting a compiler forks such a child; only its parent owns the port."""
    with actor(LENDER) as parent:
        port, child = map(int, parent.said.split())
        procs = Bereaved(child)
        assert {ln.pid for ln in procs.listeners([port])} == {parent.pid, child}
        sight = scan(procs, [port])
        assert [ln.pid for ln in sight.listeners or ()] == [parent.pid]
        assert sight.processes[child].zombie
