"""The contract of a link, on this machine itself and through a real sshd."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops import transport
from mlxops.agent.errors import LinkLost
from mlxops.agent.wire.child import Tail
from mlxops.agent.wire.codec import frame
from mlxops.hosts.files import Host
from mlxops.transport import Link
from tests.support.clientside import everything, host_for, run_there
from tests.support.sshd import Sshd


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.openssh)])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    if request.param == "local":
        yield host_for(None, tmp_path / "state")
        return
    with Sshd(tmp_path / "sshd") as server:
        yield host_for(server, tmp_path / "state")


@pytest.fixture
def link(host: Host) -> Iterator[Link]:
    opened = transport.open_for(host).open(host.python)
    yield opened
    opened.close()


def test_bytes_pass_unchanged(link: Link) -> None:
    payload = os.urandom(3 << 20)
    link.send(frame(b"import sys;sys.stdout.buffer.write(f.read(3<<20))"))
    started = time.monotonic()
    link.send(payload)
    assert everything(link) == payload
    assert time.monotonic() - started < 20


def test_stderr_is_drained_while_waiting_for_stdout(link: Link) -> None:
    link.send(
        frame(
            b"import sys;sys.stderr.write('noise\\n'*(1<<20));sys.stderr.write('last "
            b"words');print('done')"
        )
    )
    assert everything(link) == b"done\n"
    tail = link.stderr_tail()
    assert tail.endswith("noise\nlast words")
    assert len(tail.splitlines()) <= 101


def test_stderr_is_drained_while_sending(link: Link) -> None:
    link.send(frame(b"import sys;sys.stderr.write('noise\\n'*(1<<20));print(len(f.read(1<<20)))"))
    link.send(bytes(1 << 20))
    assert everything(link) == b"1048576\n"


def test_a_loader_whose_link_dies_before_the_agent_is_there_ends_by_itself(host: Host) -> None:
    assert 0 < int(run_there(host, "import signal;print(signal.alarm(0))")) <= 60


def test_silence_is_none_and_the_end_is_empty(link: Link) -> None:
    link.send(frame(b"f.readline();print('hello')"))
    started = time.monotonic()
    assert link.receive(0.2) is None
    assert 0.15 < time.monotonic() - started < 2
    link.send(b"go\n")
    assert link.receive(10) == b"hello\n"
    assert link.receive(10) == b""
    assert link.receive(10) == b""


def test_a_single_byte_arrives_at_once(link: Link) -> None:
    link.send(frame(b"import os\nfor i in range(20):os.write(1,f.readline())"))
    link.send(b"\n")
    assert link.receive(10) == b"\n"
    started = time.monotonic()
    for _ in range(19):
        link.send(b"\n")
        assert link.receive(10) == b"\n"
    # One delayed acknowledgement alone is 40 ms.
    assert (time.monotonic() - started) / 19 < 0.03


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(7)", 7), ("pass", 0)])
def test_exit_status(link: Link, code: str, status: int) -> None:
    link.send(frame(code.encode()))
    assert everything(link) == b""
    assert link.exit_status() == status


def test_killed_by_a_signal_has_no_exit_status(link: Link) -> None:
    link.send(frame(b"import os;os.kill(os.getpid(),9)"))
    assert everything(link) == b""
    assert link.exit_status() is None


def test_sending_to_what_has_ended_is_a_lost_link(link: Link) -> None:
    link.send(frame(b"pass"))
    assert everything(link) == b""
    with pytest.raises(LinkLost):
        for _ in range(100):
            link.send(bytes(1 << 16))


def test_the_host_sees_the_end_of_its_stdin(host: Host, tmp_path: Path) -> None:
    mark = tmp_path / "ended"
    opened = transport.open_for(host).open(host.python)
    opened.send(frame(f"print('up',flush=True);f.read();open({str(mark)!r},'w')".encode()))
    assert opened.receive(10) == b"up\n"
    opened.close()
    deadline = time.monotonic() + 10
    while not mark.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_at_the_terminal_does_not_reach_the_agent(host: Host) -> None:
    group = int(run_there(host, "import os;print(os.getpgid(0))"))
    assert group != os.getpgid(0)


def test_the_agent_runs_isolated_and_in_utf8(host: Host) -> None:
    code = "print(sys.flags.isolated,sys.flags.no_site,sys.flags.utf8_mode,'site' in sys.modules)"
    assert run_there(host, code) == "1 1 1 False\n"


def test_tail_keeps_the_last_lines() -> None:
    tail = Tail(3)
    for part in (b"1\n2", b"2\n3\n", b"4\n5"):
        tail.feed(part)
    assert tail.text() == "22\n3\n4\n5"
