"""One call to a host, with special agents, on this machine and through a real sshd."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops import bundle, interrupts, session, transport
from mlxops.agent.errors import (
    Failed,
    HostUnreachable,
    Interrupted,
    LinkLost,
    MlxopsError,
    PortBusy,
)
from mlxops.hosts.files import Host
from mlxops.interrupts import InterruptState
from tests.support.clientside import host_for
from tests.support.sshd import Sshd

AGENT = """
import json, os, signal, sys, time
def say(fd, **record): os.write(fd, json.dumps(record).encode() + b"\\n")
def run(request, stdin, fd):
    asked = json.loads(request)
    serve(asked, stdin, fd)
    os._exit(0)
def serve(asked, stdin, fd):
"""
Run = Callable[..., Any]


def packed(folder: Path, body: str) -> bundle.Bundle:
    """An agent whose `serve` has this body."""
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").touch()
    (folder / "main.py").write_text(
        AGENT + "".join(f"    {line}\n" for line in body.strip().splitlines())
    )
    bundle._pack.cache_clear()
    return bundle.pack(folder)


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.openssh)])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    if request.param == "local":
        yield host_for(None, tmp_path / "state")
        return
    with Sshd(tmp_path / "sshd") as server:
        yield host_for(server, tmp_path / "state")


def ask(
    host: Host, folder: Path, body: str, on_event: session.OnEvent = lambda event: None, **args: Any
) -> Any:
    return call(host, packed(folder, body), on_event, **args)


def call(
    host: Host, agent: bundle.Bundle, on_event: session.OnEvent = lambda event: None, **args: Any
) -> Any:
    link = transport.open_for(host).open(host.python)
    return session.converse(host, link, agent, session.request(host, "verb", args), on_event)


@pytest.fixture
def run(host: Host, tmp_path: Path) -> Run:
    """Ask the host, with an agent of this body."""
    return lambda body, *rest, **args: ask(host, tmp_path / "agent", body, *rest, **args)


def fault(run: Run, body: str, *rest: Any) -> MlxopsError:
    with pytest.raises(MlxopsError) as caught:
        run(body, *rest)
    return caught.value


def test_events_and_result(run: Run) -> None:
    seen: list[dict[str, Any]] = []
    body = """
say(fd, event="ping")
say(fd, event="phase", phase="wait", message="\\u00fc\\ud800")
say(fd, result={"asked": asked["args"], "verb": asked["verb"], "who": sorted(asked["who"])})
"""
    expected = {"asked": {"model": "jerry"}, "verb": "verb", "who": ["from", "user"]}
    assert run(body, seen.append, model="jerry") == expected
    assert [e for e in seen if e["event"] != "ping"] == [
        {"event": "phase", "phase": "wait", "message": "ü\ud800"}
    ]
    assert run(body, seen.append, model="jerry") == expected


def test_the_client_can_work_while_the_host_does(host: Host, tmp_path: Path) -> None:
    order: list[str] = []
    body = "say(fd, event='started'); say(fd, result={'ok': True})"
    agent = packed(tmp_path / "agent", body)
    link = transport.open_for(host).open(host.python)
    asked = session.request(host, "verb", {})
    session.converse(
        host,
        link,
        agent,
        asked,
        lambda event: order.append("event"),
        lambda: order.append("meanwhile"),
    )
    assert order == ["meanwhile", "event"]


def test_an_agent_may_take_as_long_as_it_likes(run: Run) -> None:
    assert run("say(fd, result={'alarm_in_s': signal.alarm(0)})") == {"alarm_in_s": 0}


def test_an_error_keeps_kind_hint_and_fields(run: Run) -> None:
    said = fault(
        run, 'say(fd, error={"kind": "PortBusy", "message": "m", "hint": "h", "port": 8100})'
    )
    assert isinstance(said, PortBusy)
    assert (said.message, said.hint, said.fields, said.exit_code) == ("m", "h", {"port": 8100}, 7)


def test_big_answers_and_many_events(run: Run) -> None:
    seen: list[Any] = []
    body = """
for number in range(20000): say(fd, event="log", line=str(number))
say(fd, result={"big": "x" * (4 << 20)})
"""
    assert len(run(body, seen.append)["big"]) == 4 << 20
    assert [event["line"] for event in seen] == [str(number) for number in range(20000)]


def test_an_agent_that_ends_without_a_last_record(run: Run) -> None:
    said = fault(run, "sys.stderr.write('first\\nlast words'); sys.stderr.flush(); os._exit(3)")
    assert isinstance(said, LinkLost)
    assert "last words" in said.message and said.fields["exit_status"] == 3
    assert said.fields["stderr"] == "first\nlast words"


def test_an_agent_that_is_killed(run: Run) -> None:
    said = fault(run, 'say(fd, event="phase"); os.kill(os.getpid(), 9)')
    assert isinstance(said, LinkLost) and said.fields["exit_status"] is None


def test_half_a_last_record_is_no_record(run: Run) -> None:
    assert isinstance(fault(run, "os.write(fd, b'{\"result\":{}')"), LinkLost)


def test_rubbish_on_the_wire_is_told(run: Run) -> None:
    assert isinstance(fault(run, "os.write(fd, b'Segmentation fault\\\\n')"), LinkLost)


def test_ctrl_c_cancels_and_waits_for_the_outcome(run: Run) -> None:
    body = """
say(fd, event="started")
assert stdin.readline() == b"cancel\\n"
time.sleep(0.3)
say(fd, event="phase", phase="rollback")
say(fd, error={"kind": "Interrupted", "message": "cancelled and undone", "hint": "", "port": 8100})
"""
    seen: list[str] = []
    said = fault(run, body, interrupting(seen, "started"))
    assert isinstance(said, Interrupted)
    assert (said.message, said.fields) == ("cancelled and undone", {"port": 8100})
    assert seen == ["started", "warning", "phase"]


def interrupting(seen: list[str], *moments: str) -> session.OnEvent:
    """Presses Ctrl-C at these events."""

    def on_event(event: dict[str, Any]) -> None:
        seen.append(event["event"])
        if event["event"] in moments:
            os.kill(os.getpid(), signal.SIGINT)

    return on_event


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ('result={"changed": True}', "already finished"),
        ('error={"kind": "NotReady", "message": "it died", "hint": ""}', "it died"),
    ],
)
def test_ctrl_c_too_late_tells_the_outcome(run: Run, last: str, words: str) -> None:
    said = fault(
        run,
        f'say(fd, event="started"); stdin.readline(); say(fd, {last})',
        interrupting([], "started"),
    )
    assert isinstance(said, Interrupted)
    assert words in said.message and said.fields["outcome"]


def test_a_second_ctrl_c_leaves_at_once(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The whole call, with an agent of ours in the place of the real one.
    body = 'say(fd, event="started"); stdin.readline(); say(fd, event="again"); stdin.read()'
    ours = packed(tmp_path / "agent", body)
    monkeypatch.setattr(bundle, "pack", lambda: ours)
    started, before = time.monotonic(), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        session.call(host, "verb", {}, interrupting([], "started", "again"))
    assert time.monotonic() - started < 10
    assert signal.getsignal(signal.SIGINT) is before


def test_pings_go_both_ways(host: Host, tmp_path: Path) -> None:
    body = """
say(fd, event="ping")
said = [stdin.readline() for _ in range(3)]
say(fd, result={"said": [line.decode() for line in said]})
"""
    assert brisk(host, tmp_path, body) == {"said": ["ping\n"] * 3}


def test_a_host_that_starts_slowly_hears_no_ping_before_it_has_the_agent(
    host: Host, tmp_path: Path
) -> None:
    slow = tmp_path / "python3"
    slow.write_text(f'#!/bin/sh\nsleep 0.5\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    link = transport.open_for(host).open(str(slow))
    agent = packed(tmp_path / "agent", "say(fd, result={'said': stdin.readline().decode()})")
    with interrupts.raise_on(2) as presses:
        talk = session.HostCall(host, link, agent, lambda event: None, presses)
        talk.ping_every_s = 0.05
        assert talk.run(session.request(host, "verb", {})) == {"said": "ping\n"}
    link.close()


def brisk(host: Host, tmp_path: Path, body: str) -> dict[str, Any]:
    """A conversation with a twentieth of the usual patience."""
    link = transport.open_for(host).open(host.python)
    talk = session.HostCall(
        host, link, packed(tmp_path / "agent", body), lambda event: None, InterruptState()
    )
    talk.ping_every_s, talk.silence_limit_s = 0.25, 1.0
    try:
        return talk.run(session.request(host, "verb", {}))
    finally:
        link.close()


def test_a_host_that_falls_silent_is_a_lost_link(host: Host, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(LinkLost, match="no data from"):
        brisk(
            host,
            tmp_path,
            'say(fd, event="started"); sys.stderr.write("stuck"); sys.stderr.flush(); stdin.read()',
        )
    assert time.monotonic() - started < 6


def test_a_host_that_pings_is_waited_for(host: Host, tmp_path: Path) -> None:
    body = """
for _ in range(8):
    time.sleep(0.25)
    say(fd, event="ping")
say(fd, result={})
"""
    assert brisk(host, tmp_path, body) == {}


def test_a_python_that_is_not_there(host: Host, tmp_path: Path) -> None:
    absent = Host(host.name, host.path, host.transport, host.ssh, "/absent/python3", host.site)
    with pytest.raises(HostUnreachable, match="/absent/python3") as caught:
        ask(absent, tmp_path / "agent", "pass")
    assert "python" in caught.value.hint


def test_a_python_that_is_too_old(host: Host, tmp_path: Path) -> None:
    old = tmp_path / "python3.6"
    code = "import sys;sys.version_info=(3,6,9);sys.executable='/usr/bin/python3.6'"
    old.write_text(
        f'#!/bin/sh\nfor last; do :; done\nexec /usr/bin/python3 -I -S -c "{code}\n$last"\n'
    )
    old.chmod(0o755)
    with pytest.raises(Failed, match=r"/usr/bin/python3.6 on studio is Python 3.6.9") as caught:
        ask(
            Host(host.name, host.path, host.transport, host.ssh, str(old), host.site),
            tmp_path / "agent",
            "pass",
        )
    assert "/hosts/studio.toml" in caught.value.hint and "python =" in caught.value.hint


def test_a_state_folder_that_cannot_be_used(host: Host, tmp_path: Path) -> None:
    homeless = Host(
        host.name, host.path, host.transport, host.ssh, None, {"state_dir": "/proc/mlxops"}
    )
    said = ask(homeless, tmp_path / "agent", "say(fd, result={'unkept': __loader__.unkept})")
    assert "cannot write to /proc/mlxops/agent" in said["unkept"]


WRONG_PYTHONS = {
    "silent": ("while read -r line; do :; done", LinkLost, "printed nothing for 1 s"),
    "talks for ever": (
        "while echo not an agent; do sleep 0.05; done",
        LinkLost,
        "its last output was: not an agent",
    ),
    "dies": (
        "echo Fatal: no codec >&2; echo ModuleNotFoundError: encodings >&2; echo end >&2; exit 1",
        LinkLost,
        r"exit status 1\): ModuleNotFoundError",
    ),
    "prints": ("echo Welcome; exit 0", LinkLost, "exit status 0.*Welcome"),
    "Python 2": ("echo Unknown option: -I >&2; exit 2", Failed, "is Python 2, or 3 before 3.4"),
}


@pytest.mark.parametrize("kind", WRONG_PYTHONS)
def test_an_interpreter_that_is_none(host: Host, tmp_path: Path, kind: str) -> None:
    body, error, words = WRONG_PYTHONS[kind]
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)
    wrong = Host(host.name, host.path, host.transport, host.ssh, str(python), host.site)
    link = transport.open_for(wrong).open(wrong.python)
    talk = session.HostCall(
        wrong, link, packed(tmp_path / "agent", "pass"), lambda event: None, InterruptState()
    )
    talk.silence_limit_s, talk.start_limit_s = 1.0, 2.0
    try:
        with pytest.raises(error, match=words) as caught:
            talk.run(session.request(host, "verb", {}))
    finally:
        link.close()
    assert str(python) in caught.value.message + caught.value.hint and "python" in caught.value.hint
    assert "mlxops status" not in caught.value.hint
