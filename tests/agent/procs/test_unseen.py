"""What cannot be observed is Unobservable, never an empty answer. Runs on Python 3.9 too."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.procs import LaunchdJob, Listener, Memory, Process, Unobservable
from mlxops.agent.procs import binding as ports
from mlxops.agent.procs.linux import Linux
from mlxops.agent.procs.macos.darwin import Darwin
from mlxops.agent.procs.signals import exists
from tests.support.procs_actors import (
    SLEEPER,
    eventually,
    listening,
    running,
    script,
    tool,
    unused_port,
    zombie,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "macos"
PATIENCE_S = 0.3
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux'")
Ask = Callable[[Darwin], Any]
pytestmark = pytest.mark.lsof


def mac(**replaced: str) -> Darwin:
    """macOS's way with this machine's lsof and ps, some of them replaced."""
    return Darwin(**{"lsof": tool("lsof"), "ps": tool("ps"), **replaced})  # type: ignore[arg-type]


def printing(folder: Path, name: str, fixture: str) -> str:
    return script(folder, name, f"cat '{FIXTURES / fixture}'")


QUESTIONS = [
    ("ps", lambda procs: procs.processes()),
    ("ps", lambda procs: procs.process(os.getpid())),
    ("ps", lambda procs: procs.send(Linux().process(os.getpid()), 0)),
    ("lsof", lambda procs: procs.listeners([8100])),
    ("sysctl", lambda procs: procs.memory()),
    ("vm_stat", lambda procs: procs.memory()),
    ("launchctl", lambda procs: procs.launchd_jobs()),
]
FAILURES = {
    "error": "echo 'it went wrong' >&2; exit 1",
    "worse": "echo 'usage:'; exit 2",
    "killed": "kill -9 $$",
    "garbage": "echo 'no such table'; exit 0",
}


def asked_with_a_broken(name: str, path: str, folder: Path, ask: Ask) -> str:
    tools = {"sysctl": printing(folder, "sysctl", "sysctl_memsize.txt"), name: path}
    with pytest.raises(Unobservable) as caught:
        ask(mac(**tools))
    return caught.value.reason


@on_linux
@pytest.mark.parametrize(("name", "ask"), QUESTIONS)
def test_a_missing_tool(name: str, ask: Ask, tmp_path: Path):
    reason = asked_with_a_broken(name, str(tmp_path / "none"), tmp_path, ask)
    assert reason == f"{tmp_path / 'none'}: No such file or directory"


@on_linux
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(("name", "ask"), QUESTIONS)
def test_a_failing_tool(name: str, ask: Ask, failure: str, tmp_path: Path):
    asked_with_a_broken(name, script(tmp_path, name + "-broken", FAILURES[failure]), tmp_path, ask)


def test_a_tool_that_hangs_is_ended_with_what_it_started(tmp_path: Path):
    started = tmp_path / "started"
    hanging = script(tmp_path, "lsof", f"sleep 600 & echo $$ $! > '{started}'; wait")
    with pytest.raises(Unobservable, match="did not answer within"):
        Darwin(PATIENCE_S, lsof=hanging).listeners([8100])
    for pid in started.read_text().split():
        eventually(lambda pid=int(pid): gone(pid))


def gone(pid: int) -> bool:
    found = mac().process(pid) if exists(pid) else None
    return found is None or found.zombie


def test_a_tool_that_leaves_its_output_open_to_another_is_not_waited_for(tmp_path: Path):
    leaving = script(tmp_path, "ps", "sleep 600 & exit 0")
    with pytest.raises(Unobservable, match="did not answer within"):
        Darwin(PATIENCE_S, ps=leaving).processes()


def test_lsof_and_ps_that_find_nothing_exit_1_and_say_nothing(tmp_path: Path):
    silent = script(tmp_path, "silent", "exit 1")
    assert mac(lsof=silent).listeners([unused_port()]) == ()
    with running(SLEEPER) as child, pytest.raises(Unobservable, match="does not show it"):
        mac(ps=silent).process(child.pid)
    with zombie() as dead:
        pass
    assert mac(ps=silent).process(dead) is None


def test_lsof_may_say_1_when_only_some_ports_are_taken():
    with listening("127.0.0.1") as port:
        assert [one.port for one in mac().listeners([port, unused_port()])] == [port]


def test_language_and_time_zone_of_the_caller_do_not_reach_the_tools(
    monkeypatch: pytest.MonkeyPatch,
):
    before = mac().process(os.getpid())
    for name, value in {
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C.UTF-8",
        "PS_FORMAT": "pid",
        "COLUMNS": "20",
    }.items():
        monkeypatch.setenv(name, value)
    after = mac().process(os.getpid())
    assert (after.start_time, after.argv) == (before.start_time, before.argv)


def test_a_ps_that_shows_only_some_processes_is_no_table_of_all(tmp_path: Path):
    line = "  431   412   412   501 S     96880 Sun Nov 22 19:40:12 2026     python"
    with pytest.raises(Unobservable, match="other users"):
        mac(ps=script(tmp_path, "ps", f"echo '{line}'")).processes()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_listener_lsof_does_not_show_is_somebody_elses(address: str, tmp_path: Path):
    blind = script(tmp_path, "lsof", "exit 1")
    with listening(address) as port:
        found = mac(lsof=blind).listeners([port, unused_port()])
    assert [(one.port, one.pid) for one in found] == [(port, None)]


def test_a_hidden_listener_beside_an_own_one_is_not_overlooked(tmp_path: Path):
    with listening("::1") as port:
        own = f"printf 'p{os.getpid()}\\nu501\\nf3\\ntIPv4\\nn127.0.0.1:{port}\\n'"
        found = mac(lsof=script(tmp_path, "lsof", own)).listeners([port])
    assert [one.pid for one in found] == [os.getpid(), None]


def test_netstat_names_the_owner_lsof_hides(tmp_path: Path):
    blind = script(tmp_path, "lsof", "exit 1")
    with listening("127.0.0.1") as port:
        table = (FIXTURES / "netstat_26.txt").read_text().replace("*.8100 ", f"*.{port} ")
        (tmp_path / "table").write_text(table)
        netstat = script(tmp_path, "netstat", f"cat '{tmp_path / 'table'}'")
        assert mac(lsof=blind, netstat=netstat).listeners([port]) == (
            Listener(port, "0.0.0.0", 431, None),
        )


def test_netstat_does_not_name_an_own_listener_again(tmp_path: Path):
    with listening("::1") as port:
        own = f"printf 'p7\\nu501\\nf3\\ntIPv4\\nn*:{port}\\n'"
        table = (
            (FIXTURES / "netstat_26.txt")
            .read_text()
            .replace(".8100 ", f".{port} ")
            .replace(".8104 ", f".{port} ")
        )
        (tmp_path / "table").write_text(table)
        netstat = script(tmp_path, "netstat", f"cat '{tmp_path / 'table'}'")
        found = mac(lsof=script(tmp_path, "lsof", own), netstat=netstat).listeners([port])
    assert [(one.address, one.pid) for one in found] == [("0.0.0.0", 7), ("::1", 8302)]


def test_a_socket_that_connects_to_itself_has_found_no_listener():
    """Happens on a port without a listener, if the kernel picks that very port for the client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert ports.reaches(probe, *probe.getsockname()) is False
        assert probe.getpeername() == probe.getsockname()


def test_a_listener_too_busy_to_accept_is_still_one(tmp_path: Path):
    blind = script(tmp_path, "lsof", "exit 1")
    with socket.socket() as server, contextlib.ExitStack() as clients:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        port = server.getsockname()[1]
        assert [one.pid for one in mac(lsof=blind).listeners([port])] == [None]


def test_memory_of_a_studio(tmp_path: Path):
    body = "case $2 in hw.memsize) cat '%s';; iogpu.wired_limit_mb) %s;; esac"
    vm_stat = printing(tmp_path, "vm_stat", "vm_stat.txt")
    available = (1804518 + 53014 + 1091193) * 16384
    default = (256 << 30) * 3 // 4
    limits = {
        "echo 241644": 241644 << 20,
        "echo 0": default,
        "echo \"unknown oid '$2'\" >&2; exit 1": default,
    }
    for limit, expected in limits.items():
        sysctl = script(tmp_path, "sysctl", body % (FIXTURES / "sysctl_memsize.txt", limit))
        assert mac(sysctl=sysctl, vm_stat=vm_stat).memory() == Memory(
            256 << 30, available, expected
        )


def test_the_boot_of_a_studio(tmp_path: Path):
    boot = mac(sysctl=printing(tmp_path, "sysctl", "sysctl_boottime.txt")).boot()
    assert boot == (1795852560.612034, "")
    for failure in FAILURES.values():
        with pytest.raises(Unobservable):
            mac(sysctl=script(tmp_path, "sysctl", failure)).boot()


@on_linux
def test_the_boot_of_this_machine_marks_every_process_of_it(tmp_path: Path):
    boot, own = Linux().boot(), Linux().process(os.getpid())
    assert own is not None and own.started_at is not None
    assert boot.at < own.started_at and boot.is_before(own.start_time, None) is False
    other = fake_proc(tmp_path, sys__kernel__random__boot_id=b"0123456789\n").boot()
    assert other.token == "01234567-" and other.is_before(own.start_time, None)
    with pytest.raises(Unobservable, match="boot_id"):
        Linux(str(tmp_path / "none")).boot()


LAUNCHCTL = """
cd '%s'
case $2 in
  system) cat launchctl_system.txt;;
  system/com.bebop.mlx-launch) cat launchctl_job.txt;;
  gui/%d) %s;;
  gui/%d/org.example.lane) cat launchctl_job_bare.txt;;
  user/*) cat launchctl_no_domain.txt >&2; exit 113;;
  *) echo "Could not find service" >&2; exit 113;;
esac
"""


def launchctl(folder: Path, gui: str) -> str:
    return script(folder, "launchctl", LAUNCHCTL % (FIXTURES, os.getuid(), gui, os.getuid()))


def test_jobs_are_those_that_are_not_apples_with_what_they_run(tmp_path: Path):
    gui = f"gui/{os.getuid()}"
    assert mac(launchctl=launchctl(tmp_path, "cat launchctl_gui.txt")).launchd_jobs() == (
        LaunchdJob(
            "com.bebop.mlx-launch",
            "system",
            412,
            ("/bin/bash", "/opt/mlx-launch/bin/start.sh", "--name=big one"),
        ),
        LaunchdJob("com.bebop.mlx-lane.8103", "system", None, ()),
        LaunchdJob("homebrew.mxcl.php@8.1", "system", None, ()),
        LaunchdJob("org.example.lane", gui, 887, ("/Users/thestudio/bin/lane",)),
    )


def test_a_user_who_is_not_logged_in_has_no_jobs_but_a_refusal_is_unseen(tmp_path: Path):
    absent = launchctl(tmp_path, "cat launchctl_no_domain.txt >&2; exit 112")
    assert [job.domain for job in mac(launchctl=absent).launchd_jobs()] == ["system"] * 3
    with pytest.raises(Unobservable, match="Operation not permitted"):
        mac(
            launchctl=launchctl(tmp_path, "echo 'Operation not permitted' >&2; exit 1")
        ).launchd_jobs()
    with pytest.raises(Unobservable, match="print system"):
        mac(
            launchctl=script(
                tmp_path, "launchctl", "echo 'Could not find domain for system' >&2; exit 113"
            )
        ).launchd_jobs()


def fake_proc(folder: Path, **files: bytes) -> Linux:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Linux(str(folder))


@on_linux
def test_a_proc_that_hides_or_lacks_things(tmp_path: Path):
    with pytest.raises(Unobservable, match="No such file"):
        Linux(str(tmp_path / "none")).processes()
    with pytest.raises(Unobservable, match="hidepid"):
        fake_proc(tmp_path).processes()
    with pytest.raises(Unobservable, match="does not show it"):
        fake_proc(tmp_path).process(os.getpid())
    with pytest.raises(Unobservable, match="does not show it"):
        fake_proc(tmp_path).send(Linux().process(os.getpid()), signal.SIGTERM)
    with pytest.raises(Unobservable, match="net/tcp"):
        fake_proc(tmp_path).listeners([8100])
    with pytest.raises(Unobservable, match="meminfo"):
        fake_proc(tmp_path, meminfo=b"MemTotal: 1 kB\n").memory()


@on_linux
def test_a_proc_with_other_content_is_unseen(tmp_path: Path):
    boot = {"sys__kernel__random__boot_id": b"0123456789\n"}
    with pytest.raises(Unobservable, match="process 1: not a"):
        fake_proc(tmp_path, **{"1__stat": b"garbage", "1__cmdline": b""}, **boot).processes()
    with pytest.raises(Unobservable, match="net/tcp"):
        fake_proc(tmp_path, net__tcp=b"header\n  0: 0100007F:1FA4 00000000:0000 0A \n").listeners(
            [8100]
        )


@on_linux
def test_a_listener_whose_owner_proc_does_not_show_is_somebody_elses(tmp_path: Path):
    with listening("127.0.0.1") as port:
        procs = fake_proc(tmp_path, net__tcp=Path("/proc/net/tcp").read_bytes())
        assert procs.listeners([port]) == (Listener(port, "127.0.0.1", None, os.geteuid()),)


MLX_UNIT = {"7__cgroup": b"0::/system.slice/mlx.service\n"}


@on_linux
@pytest.mark.parametrize(
    ("answer", "restarts"),
    [
        ("MainPID=7\\nRestart=always", True),
        ("MainPID=8\\nRestart=on-failure", True),
        ("MainPID=7\\nRestart=no", False),
        # A service that started the server and does not wait for it, such as cron.
        ("MainPID=412\\nRestart=always", False),
        ("", False),
    ],
)
def test_a_service_restarts_its_main_process(tmp_path: Path, answer: str, restarts: bool):
    host = fake_proc(tmp_path, **MLX_UNIT)
    host._systemctl = script(tmp_path, "systemctl", f"printf '{answer}'")
    found = host.restarting_service([some_process(7), some_process(8)])
    assert (found.stop_command if found else None) == (
        "systemctl stop mlx.service" if restarts else None
    )


@on_linux
def test_a_systemd_that_does_not_answer_is_unseen(tmp_path: Path):
    host = fake_proc(tmp_path, **MLX_UNIT)
    host._systemctl = script(tmp_path, "systemctl", "echo 'no bus' >&2; exit 1")
    with pytest.raises(Unobservable, match="no bus"):
        host.restarting_service([some_process(7)])


def some_process(pid: int) -> Process:
    return Process(pid, 1, pid, os.getuid(), "t", None, None, ("server",), False)
