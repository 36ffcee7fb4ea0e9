"""A host that is off is one fault, whatever the error: reported once, and when it is back."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.sshd import Sshd
from tests.support.studio import Answer, Studio, eventually, finished

pytestmark = [pytest.mark.openssh, pytest.mark.slow]
CRON = ("--cron", "reconcile", "-q", "--check")


def run(studio: Studio, *more: object) -> Answer:
    return finished(studio.start(*CRON, *more))


def point_to(studio: Studio, host: str, port: int, connect_timeout_s: float = 20) -> None:
    path = studio.hosts_dir / "studio.toml"
    lines = [
        line
        for line in path.read_text().splitlines()
        if not line.startswith(("host =", "port =", "connect_timeout_s ="))
    ]
    at = lines.index("[ssh]") + 1
    new = [f'host = "{host}"', f"port = {port}", f"connect_timeout_s = {connect_timeout_s}"]
    path.write_text("\n".join([*lines[:at], *new, *lines[at:]]) + "\n")


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose queue is full: connections time out."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        held = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            held.append(one)
        yield port
        for one in held:
            one.close()


def test_refused_timed_out_unresolvable_and_asleep_are_one_fault(
    openssh_studio: Studio, openssh: Sshd, silent: int, tmp_path: Path
) -> None:
    studio = openssh_studio
    sent = tmp_path / "sent"
    more = ("--notify", f"cat >> {sent}", "--metrics", str(tmp_path / "m.prom"))
    assert run(studio, *more) == Answer(0, "", "") and not sent.exists()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        point_to(studio, "127.0.0.1", unused.getsockname()[1])
        off = run(studio, *more)
    assert off.exit == 3 and off.stderr.startswith("mlxops: ") and off.stdout == ""
    first = sent.read_text()
    assert "refused" in first and len(first.splitlines()) == 1
    point_to(studio, "127.0.0.1", silent, connect_timeout_s=0.5)
    assert run(studio, *more) == Answer(3, "", "")
    point_to(studio, "no-such-host.invalid", 22)
    assert run(studio, *more) == Answer(3, "", "")
    point_to(studio, "127.0.0.1", openssh.port)
    assert asleep_in_the_middle(studio, openssh, more) == Answer(3, "", "")
    assert 'mlxops_host_up{host="studio"} 0' in (tmp_path / "m.prom").read_text()
    assert "mlxops_port_up" not in (tmp_path / "m.prom").read_text()
    assert sent.read_text() == first
    back = run(studio, *more)
    assert back.exit == 0 and back.stdout.startswith("resolved: ") and back.stderr == ""
    assert sent.read_text() == first + back.stdout
    assert "mlxops_port_up" in (tmp_path / "m.prom").read_text()
    assert run(studio, *more) == Answer(0, "", "")


def asleep_in_the_middle(studio: Studio, server: Sshd, more: tuple[object, ...]) -> Answer:
    """The run of a host that falls asleep once the login is done."""
    logins = server.log.read_text().count("Accepted")
    process = studio.start(*CRON, *more, "--timeout", "6")
    eventually(lambda: server.log.read_text().count("Accepted") > logins)
    stopped = sessions_of(server)
    for pid in stopped:
        with suppress(ProcessLookupError):  # such as a helper of the login, which ends at once
            os.kill(pid, signal.SIGSTOP)
    try:
        assert stopped
        return finished(process)
    finally:
        for pid in stopped:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)


def sessions_of(server: Sshd) -> list[int]:
    """The processes of the server's sessions."""
    assert server._process is not None
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(rest[1]), []).append(pid)
    found, queue = [], [server._process.pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
