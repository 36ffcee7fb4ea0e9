"""One verb for several hosts, over real logins: one of them dead, one silent, Ctrl-C."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from mlxops.demo.loopback import Login
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.sshd import Sshd
from tests.support.studio import Studio, eventually, finished
from tests.support.terminal import Terminal

pytestmark = pytest.mark.openssh
AT_ONCE_S = 8.0
Make = Callable[..., Studio]


@pytest.fixture
def pair(openssh_login: Login, make_studio: Make, studio_runtime: dict[str, Any]) -> Studio:
    """A Studio with a second host file, for the same machine under another name."""
    studio = make_studio(openssh_login, studio_runtime)
    studio.must("init")
    another(studio, "second", openssh_login.port)
    return studio


def another(studio: Studio, name: str, port: int) -> None:
    """A host file like the Studio's, with another SSH port."""
    assert studio.login
    text = (studio.hosts_dir / "studio.toml").read_text()
    changed = text.replace(f"port = {studio.login.port}\n", f"port = {port}\n")
    (studio.hosts_dir / f"{name}.toml").write_text(changed)


def test_all_hosts_are_asked_at_once_and_a_dead_one_hides_nothing(
    pair: Studio, openssh: Sshd
) -> None:
    (closed,) = free_range(1)
    another(pair, "dead", closed)
    answer = finished(pair.start("list", "--host", "second,dead,studio"))
    blocks = answer.stdout.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        "==> second <==",
        "==> dead <==",
        "==> studio <==",
    ]
    assert "amber" in blocks[0] and blocks[0].splitlines()[1:] == blocks[2].splitlines()[1:]
    assert answer.exit == 3 and f"port {closed} refused the connection" in answer.stderr
    document = finished(pair.start("status", "--host", "dead,studio", "--json")).document
    assert [one["ok"] for one in document["hosts"]] == [False, True]
    assert len(document["hosts"][1]["result"]["ports"]) == len(pair.ports)


def test_ctrl_c_gives_up_a_silent_host_and_keeps_the_answers(pair: Studio) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        another(pair, "aaa", silent.getsockname()[1])
        both = Terminal(pair, "list", "--host", "second,aaa")
        both.until("hosts; waiting for aaa")
        assert both.press() < AT_ONCE_S
    assert both.process.returncode == 130 and "Traceback" not in both.shown
    assert "==> second <==" in both.shown and "amber" in both.shown
    assert "aaa: interrupted; nothing was done on the host" in both.shown
    assert "interrupted; 1 of 2 hosts answered" in both.shown


@pytest.mark.slow
def test_ctrl_c_ends_the_work_on_every_host(
    pair: Studio, fake_runtime: FakeRuntime, openssh: Sshd
) -> None:
    pair.must("load", "amber", pair.ports[0])
    fake_runtime.behaves("tiny--amber", hang=["/v1/chat/completions"])
    verify = pair.start("verify", "--host", "studio,second", stderr=subprocess.PIPE)
    assert verify.stderr
    shown = ""
    while not ("studio: testing" in shown and "second: testing" in shown):
        line = verify.stderr.readline()
        assert line, shown
        shown += line
    verify.send_signal(2)
    answer = finished(verify)
    assert answer.exit == 130, answer
    assert "0 of 2 hosts answered" in answer.stderr
    eventually(lambda: not openssh.sessions(), 30)
