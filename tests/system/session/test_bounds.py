"""Foreign output is bounded: each call ends in time with a message, and no output steers the
terminal."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops import session
from mlxops.agent.errors import HostUnreachable, LinkLost, LoginRefused, MlxopsError, from_wire
from mlxops.agent.ports.probe import model_ids
from mlxops.agent.wire.child import MAX_TAIL_BYTES, Tail
from mlxops.cli.errors import traceback_text
from mlxops.render.errors import error_text
from mlxops.render.style import Style
from tests.support.clientside import host_for, run_there
from tests.support.sshd import Sshd, make_key

HELLO = "print('hello')"
STEERING = "\x1b]0;owned\x07\x1b[2J"


def endless(folder: Path, text: str) -> str:
    """An interpreter that prints for ever and never starts the agent."""
    program = folder / "endless"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return str(program)


def lost(folder: Path, text: str) -> LinkLost:
    host = host_for(None, folder / "state", python=endless(folder, text))
    with pytest.raises(LinkLost) as caught:
        session.call(host, "list", {}, lambda event: None)
    return caught.value


def test_a_login_that_prints_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_NOISE_BYTES", 4 << 20)
    began = time.monotonic()
    fault = lost(tmp_path, "exec yes welcome")
    assert time.monotonic() - began < 10
    assert "did not start the agent" in fault.message and "welcome" in fault.message and fault.hint


def test_a_login_that_prints_a_little_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.HostCall, "start_limit_s", 1.0)
    began = time.monotonic()
    fault = lost(tmp_path, "while sleep 0.05; do echo welcome; done")
    assert time.monotonic() - began < 10 and "did not start the agent within 1 s" in fault.message


def test_a_host_that_never_stops_printing_on_stderr_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.HostCall, "silence_limit_s", 1.0)
    began = time.monotonic()
    fault = lost(tmp_path, "exec yes grumble >&2")
    assert time.monotonic() - began < 10
    assert len(str(fault.fields)) < 2 * MAX_TAIL_BYTES


def test_the_tail_of_stderr_is_short_whatever_the_lines() -> None:
    tail = Tail()
    for _ in range(200):
        tail.feed(b"x" * 100_000 + b"\n")
    assert 0 < len(tail.text()) <= MAX_TAIL_BYTES


def test_an_error_of_a_megabyte_is_shown_in_part() -> None:
    record = {
        "kind": "Failed",
        "message": "m" * 1_000_000,
        "hint": "h\n" * 100_000,
        "log": ["l" * 1_000_000] * 1000,
    }
    assert len(error_text(from_wire(record), Style())) < 1_000_000
    assert error_text(from_wire({**record, "log": []}), Style()).startswith("mlxops: mmm")


def test_a_traceback_that_quotes_the_host_steers_no_terminal() -> None:
    fault = LinkLost(f"the host said {STEERING}", trace=f"there {STEERING}\nsecond line")
    shown = traceback_text(fault)
    assert "\x1b" not in shown and "\x07" not in shown
    assert (
        "\\x1b]0;owned\\x07" in shown
        and "On the host:\nthere" in shown
        and "\nsecond line" in shown
    )


def test_a_listener_with_a_megabyte_of_a_name() -> None:
    (name,) = model_ids({"data": [{"id": "n" * 1_000_000}]})
    assert len(name) == 1024
    assert len(model_ids({"data": [{"id": str(n)} for n in range(100_000)]})) == 1000


@pytest.fixture
def busy(tmp_path: Path) -> Callable[..., Sshd]:
    """An sshd that takes one login at a time."""

    def made() -> Sshd:
        server = Sshd(tmp_path / "sshd")
        server.config.write_text(
            server.config.read_text().replace("MaxStartups 200", "MaxStartups 1:100:1")
        )
        return server

    return made


def occupied(server: Sshd) -> socket.socket:
    """A connection that has begun a login and does not continue."""
    for _ in range(100):
        line = socket.create_connection(("127.0.0.1", server.port))
        if line.recv(4) == b"SSH-":
            return line
        line.close()
        time.sleep(0.05)
    raise AssertionError("the server took no connection")


@pytest.mark.openssh
def test_a_server_that_is_busy_for_a_moment_is_tried_again(busy: Callable[..., Any]) -> None:
    with busy() as server:
        line = occupied(server)
        threading.Timer(1.0, line.close).start()
        assert run_there(host_for(server, Path("/unused")), HELLO) == "hello\n"


@pytest.mark.slow
@pytest.mark.openssh
def test_a_server_that_stays_busy_is_told_as_that(busy: Callable[..., Any]) -> None:
    with busy() as server, occupied(server):
        with pytest.raises(HostUnreachable) as caught:
            run_there(host_for(server, Path("/unused"), connect_timeout_s=3.0), HELLO)
        assert caught.value.fields["cause"] == "turned away" and caught.value.fields["tries"] > 1
        assert "MaxStartups" in caught.value.hint
        assert "closed the connection before any login" in caught.value.message


@pytest.mark.openssh
def test_the_hint_for_a_refused_login_tests_the_same_login(tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "a stranger")
    with Sshd(tmp_path / "sshd") as server:
        with pytest.raises(MlxopsError) as caught:
            run_there(host_for(server, Path("/unused"), identity_file=str(stranger)), HELLO)
        assert isinstance(caught.value, LoginRefused)
        way = f"-l {server.user} -p {server.port} -i '{stranger}'"
        assert f"ssh -o BatchMode=yes {way}" in caught.value.hint
        assert (
            f"`ssh-copy-id -i '{stranger}' -p {server.port} {server.user}@127.0.0.1`"
            in caught.value.hint
        )
