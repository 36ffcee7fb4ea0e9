"""Both platforms against real processes: /proc, and macOS's way with this machine's lsof and ps.
Like all tests of the agent, they run on Python 3.9 too."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.procs import Listener, Unobservable, ancestors, descendants, local_procs
from mlxops.agent.procs.linux import Linux
from mlxops.agent.procs.macos.darwin import Darwin
from tests.support.procs_actors import (
    LISTENER,
    SLEEPER,
    as_nobody,
    eventually,
    listening,
    running,
    tool,
    unused_port,
    zombie,
)

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux'")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can put on another user's eyes")
PLATFORMS = [pytest.param("linux", marks=on_linux), pytest.param("darwin", marks=pytest.mark.lsof)]
EXIT_THREAD = {"x86_64": 60, "aarch64": 93}


@pytest.fixture(params=PLATFORMS)
def procs(request: pytest.FixtureRequest) -> Any:
    return Linux() if request.param == "linux" else Darwin(lsof=tool("lsof"), ps=tool("ps"))


def test_some_processes_are_the_same_as_in_a_look_at_all(procs: Any):
    with running(SLEEPER) as child, running(SLEEPER) as other:
        whole = procs.processes()
        some = procs.some([child.pid, os.getpid(), 1 << 22])
        assert set(some) == {child.pid, os.getpid()} and other.pid in whole
        assert some[child.pid].start_time == whole[child.pid].start_time
        os.kill(child.pid, signal.SIGSTOP)
        assert eventually(lambda: procs.some([child.pid])[child.pid].stopped)
    assert procs.some([]) == {}


@on_linux
def test_connections_that_nobody_accepts_wait():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        quiet = Linux().traffic([port])[port]
        assert (len(quiet.listening), quiet.established, quiet.waiting) == (1, 0, 0)
        with socket.create_connection(("127.0.0.1", port)):
            busy = Linux().traffic([port])[port]
            assert (busy.listening, busy.waiting) == (quiet.listening, 1)
            server.accept()[0].close()
            assert Linux().traffic([port])[port].waiting == 0


def state(procs: Any, pid: int) -> str:
    found = procs.process(pid)
    return "gone" if found is None else "zombie" if found.zombie else "alive"


def test_this_machine_is_recognised():
    assert type(local_procs()).__name__ == (
        "Linux" if sys.platform.startswith("linux") else "Darwin"
    )


def test_a_process_is_shown_as_it_is(procs: Any):
    before = time.time()
    with running(SLEEPER, "--port", "8100") as child:
        seen = procs.processes()[child.pid]
        assert procs.process(child.pid)._replace(rss_bytes=0) == seen._replace(rss_bytes=0)
    assert (seen.ppid, seen.pgid, seen.uid, seen.zombie) == (
        os.getpid(),
        os.getpgid(0),
        os.geteuid(),
        False,
    )
    assert seen.argv[-2:] == ("--port", "8100")
    assert before - 3 < seen.started_at < time.time() + 3
    assert 1 << 20 < seen.rss_bytes < 1 << 30


@on_linux
def test_linux_keeps_arguments_apart_whatever_is_in_them():
    with running(SLEEPER, "two words", "", "line\nline", "\udcff") as child:
        assert Linux().process(child.pid).argv == (
            sys.executable,
            "-c",
            SLEEPER,
            "two words",
            "",
            "line\nline",
            "\udcff",
        )


def test_a_newline_in_an_argument_hides_no_process(procs: Any):
    with running(SLEEPER, "line\nline") as first, running(SLEEPER) as second:
        assert {first.pid, second.pid} <= set(procs.processes())


def test_the_table_connects_children_to_their_parents(procs: Any):
    with running(
        "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])", SLEEPER
    ) as parent:
        table = procs.processes()
        (child,) = descendants(table, parent.pid)
        assert os.getpid() in [one.pid for one in ancestors(table, child.pid)]
        os.kill(child.pid, signal.SIGKILL)


def test_a_zombie_is_told_from_the_living_and_from_the_gone(procs: Any):
    with running(SLEEPER) as child, zombie() as dead:
        assert (state(procs, child.pid), state(procs, dead)) == ("alive", "zombie")
        assert procs.processes()[dead].zombie
        assert procs.processes()[dead].argv == ()
    assert (state(procs, child.pid), state(procs, dead)) == ("gone", "gone")


@on_linux
def test_a_process_whose_first_thread_ended_is_not_dead():
    leave = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start();"
    )
    leave += (
        f"print('up', flush=True); ctypes.CDLL(None).syscall({EXIT_THREAD[platform.machine()]}, 0)"
    )
    with running(leave) as child:
        eventually(lambda: ") Z " in Path(f"/proc/{child.pid}/stat").read_text())
        assert state(Linux(), child.pid) == "alive"


def test_start_times_tell_processes_apart_and_stay(procs: Any):
    with running(SLEEPER) as child:
        first = procs.process(child.pid).start_time
        assert (
            procs.process(child.pid).start_time == procs.processes()[child.pid].start_time == first
        )
        assert procs.process(1).start_time != first


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_listener_is_found_with_its_address_and_owner(procs: Any, address: str):
    with running(LISTENER, address) as server:
        port = int(server.said)
        assert procs.listeners([port, unused_port()]) == (
            Listener(port, address, server.pid, os.geteuid()),
        )
        assert not procs.free(port, "127.0.0.1")
    assert procs.listeners([port]) == ()
    assert procs.free(port, "127.0.0.1")


def test_the_same_port_on_two_addresses_is_two_listeners(procs: Any):
    with listening("127.0.0.1") as port, socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", port))
        other.listen()
        found = procs.listeners([port])
    assert {(one.address, one.pid) for one in found} == {
        ("127.0.0.1", os.getpid()),
        ("::1", os.getpid()),
    }


def test_a_socket_held_by_two_processes_names_both(procs: Any):
    inherit = (
        "import os, sys, time; pid = os.fork(); pid and print(pid, flush=True); time.sleep(600)"
    )
    with running(LISTENER.replace("time.sleep(600)", "") + inherit, "127.0.0.1") as server:
        port, fork = int(server.said), int(server.stdout.readline())
        try:
            assert {one.pid for one in procs.listeners([port])} == {server.pid, fork}
            server.kill()
            server.wait()
            assert {one.pid for one in procs.listeners([port])} == {fork}
        finally:
            os.kill(fork, signal.SIGKILL)


def test_a_client_of_a_port_is_not_its_listener(procs: Any):
    with (
        running(LISTENER, "127.0.0.1") as server,
        socket.create_connection(("127.0.0.1", int(server.said))),
    ):
        assert [one.pid for one in procs.listeners([int(server.said)])] == [server.pid]


def test_no_ports_have_no_listeners(procs: Any):
    assert procs.listeners([]) == ()


@as_root
def test_a_listener_of_another_user_is_shown_without_its_owner(procs: Any):
    with running(LISTENER, "127.0.0.1") as server, running(LISTENER, "::1") as other:
        ports = [int(server.said), int(other.said)]
        found = as_nobody(lambda: [(one.port, one.pid) for one in procs.listeners(ports)])
        assert sorted(found) == sorted([port, None] for port in ports)
        assert as_nobody(lambda: procs.free(ports[0], "0.0.0.0")) is False


@on_linux
def test_a_listener_that_closes_while_its_owner_is_looked_for_is_not_somebody_elses():
    class Closing(Linux):
        def _owners(self, inodes: Any) -> Any:
            server.close()
            return super()._owners(inodes)

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert Closing().listeners([server.getsockname()[1]]) == ()


@as_root
def test_everybody_sees_the_processes_of_every_user(procs: Any):
    with running(SLEEPER, "marked") as child:
        assert as_nobody(lambda: procs.processes()[child.pid].argv[-1]) == "marked"


@as_root
def test_a_signal_that_is_not_allowed_is_no_answer_about_the_process(procs: Any):
    with running(SLEEPER) as child:
        process = procs.process(child.pid)
        assert "not allowed to signal" in as_nobody(lambda: procs.send(process, signal.SIGTERM))
        assert state(procs, child.pid) == "alive"


def test_a_signal_reaches_the_process_and_only_that_start_of_it(procs: Any):
    with running(SLEEPER) as child:
        process = procs.process(child.pid)
        assert procs.send(process._replace(start_time="another start"), signal.SIGKILL) is False
        assert state(procs, child.pid) == "alive"
        assert procs.send(process, signal.SIGTERM) is True
        assert child.wait() == -signal.SIGTERM
        assert procs.send(process, signal.SIGTERM) is False


def test_a_zombie_is_not_signalled(procs: Any):
    with zombie() as dead:
        assert procs.send(procs.process(dead), signal.SIGTERM) is False


@on_linux
def test_without_pidfd_a_signal_is_as_careful(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    test_a_signal_reaches_the_process_and_only_that_start_of_it(Linux())
    test_a_zombie_is_not_signalled(Linux())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_port_held_on_any_address_is_not_free(procs: Any, address: str):
    with listening(address) as port:
        assert procs.free(port, "127.0.0.1") is False
    assert procs.free(port, "127.0.0.1") is True


def test_a_port_held_but_not_listened_on_is_not_free(procs: Any):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        assert procs.free(holder.getsockname()[1], "0.0.0.0") is False


def test_a_port_whose_connections_linger_is_free(procs: Any):
    with listening("127.0.0.1") as port, socket.socket() as client:
        pass
    with (
        socket.create_server(("127.0.0.1", port)) as server,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        accepted, _ = server.accept()
        accepted.close()
        assert client.recv(1) == b""
    assert procs.free(port, "127.0.0.1") is True


def test_a_bind_address_may_be_a_name_but_must_be_one_that_is_known(procs: Any):
    assert procs.free(unused_port(), "localhost") is True
    with pytest.raises(Unobservable, match=r"no\.such\.host\.invalid"):
        procs.free(unused_port(), "no.such.host.invalid")


@pytest.mark.skipif(platform.system() != "Linux", reason="macOS counts reads of disks only")
def test_what_a_process_has_read_grows_with_each_file(tmp_path: Path):
    procs, file = local_procs(), tmp_path / "weights"
    file.write_bytes(bytes(3 << 20))
    read = "print('up', flush=True); input(); open(%r, 'rb').read(); print(flush=True); input()"
    with running(read % str(file)) as child:
        before = procs.bytes_read([child.pid])
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        assert before is not None
        assert 3 << 20 <= procs.bytes_read([child.pid]) - before < 4 << 20
        assert procs.bytes_read([child.pid, child.pid]) > 6 << 20
    assert procs.bytes_read([child.pid]) is None


def test_the_footprint_of_a_tree_is_the_sum_of_its_processes(procs: Any):
    hold = "import time; held = bytearray(64 << 20); print('up', flush=True); time.sleep(600)"
    with running(hold) as first, running(hold) as second:
        size = procs.footprint([procs.process(first.pid), procs.process(second.pid)])
        assert 128 << 20 < size < 256 << 20
        assert procs.footprint([procs.process(first.pid)._replace(rss_bytes=None)]) is None
    assert procs.footprint([]) is None


def test_content_is_synced_and_a_closed_file_is_an_error(procs: Any, tmp_path: Path):
    with open(tmp_path / "file", "wb") as stream:
        stream.write(b"content")
        stream.flush()
        procs.sync(stream.fileno())
        closed = os.dup(stream.fileno())
    os.close(closed)
    with pytest.raises(OSError):
        procs.sync(closed)


@on_linux
def test_linux_knows_its_memory_and_has_no_launchd():
    memory = Linux().memory()
    assert (
        0
        < memory.available_bytes
        < memory.total_bytes
        == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )
    assert memory.wired_limit_bytes is None
    assert Linux().launchd_jobs() == ()


@on_linux
def test_looking_on_linux_starts_nothing_and_imports_nothing_heavy():
    look = (
        "import sys; sys.path.insert(0, sys.argv[1]); from mlxops.agent.procs import local_procs;"
        "procs = local_procs();"
        "procs.processes(); procs.listeners(range(1, 65536));"
        "print([name for name in ('subprocess', 'socket', 'dataclasses', 'inspect', "
        "'ctypes') if name in sys.modules])"
    )
    root = str(Path(__file__).parents[3])
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", look, root], stdout=subprocess.PIPE, check=True
    )
    assert answer.stdout.decode().strip() == "[]"


@pytest.mark.lsof
def test_words_with_blanks_stay_whole_where_the_kernel_tells_them(monkeypatch: pytest.MonkeyPatch):
    """Here, /proc stands for a Mac's sysctl."""

    def told(pid: int) -> Any:
        shown = Linux().process(pid)
        return shown and shown.argv

    eyes = Darwin(lsof=tool("lsof"), ps=tool("ps"))
    with running(SLEEPER, "--model", "/My  Models/a") as child:
        blind = eyes.processes()[child.pid].argv
        monkeypatch.setattr("mlxops.agent.procs.macos.procargs.reader", lambda: told)
        assert blind[-2:] == ("/My", "Models/a")
        assert (
            eyes.processes()[child.pid].argv[-1]
            == eyes.process(child.pid).argv[-1]
            == "/My  Models/a"
        )
