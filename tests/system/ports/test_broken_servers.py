"""Every check reports a hung or broken server in the same words, with the command that helps."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually, finished

CHECKS = [("status", "--check"), ("reconcile", "--check"), ("doctor", "-q")]


def hang(studio: Studio) -> int:
    pid = int(studio.port_row(studio.ports[0])["pid"])
    os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.mark.slow
def test_a_hung_server_is_seen_by_every_check_and_replaced_by_the_command(near: Studio) -> None:
    port = near.ports[0]
    pid = hang(near)
    try:
        step = f"mlxops restart {port}"
        for words in CHECKS:
            ended = finished(near.start(*words))
            assert ended.exit == 11 and f"{port} unresponsive" in ended.stderr, ended
            assert step in ended.stdout, ended
            assert near.mlxops(*words).error["kind"] == "DriftFound"
        row = near.mlxops("status").result["broken"]
        assert [(one["state"], one["port"], one["entry"], one["next"]) for one in row] == [
            ("unresponsive", port, "amber", step)
        ]
        near.must(*step.split()[1:])
    finally:
        os.kill(pid, signal.SIGKILL) if os.path.exists(f"/proc/{pid}") else None
    assert near.ask(port) == "I am tiny/amber"
    assert [near.mlxops(*words).exit for words in CHECKS[:2]] == [0, 0]


@pytest.mark.slow
def test_cron_tells_of_a_hung_server_once(near: Studio) -> None:
    pid = hang(near)
    try:
        first = finished(near.start("reconcile", "-q", "--check"))
        again = finished(near.start("reconcile", "-q", "--check"))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert first.exit == again.exit == 11
    assert len(first.stdout.splitlines()) == 1 and "unresponsive" in first.stdout
    assert (again.stdout, again.stderr) == ("", "")
    eventually(lambda: near.port_row(near.ports[0])["state"] == "ready")
    over = finished(near.start("reconcile", "-q"))
    assert over.stdout == f"resolved: unresponsive {near.ports[0]} amber\n"


@pytest.mark.slow
def test_status_and_verify_have_one_sentence_for_it_however_often_it_was_asked(
    near: Studio,
) -> None:
    port = near.ports[0]
    pid = hang(near)
    try:
        told = {near.port_row(port)["reason"] for _ in range(3)}
        checks = (
            near.mlxops("verify", port).document["error"],
            near.mlxops("verify", port).document["result"],
        )
        told |= {
            c["detail"].partition(": ")[2]
            for c in checks[1]["ports"][0]["checks"]
            if c["check"] == "state"
        }
    finally:
        os.kill(pid, signal.SIGCONT)
    assert told == {"the server listens but does not answer HTTP: timed out"}


def test_a_dead_worker_is_seen_by_every_check(near: Studio, fake_runtime: FakeRuntime) -> None:
    port = near.ports[0]
    os.kill(fake_runtime.journal("child")[-1]["child"], signal.SIGKILL)
    eventually(lambda: near.port_row(port)["state"] == "dead-child")
    for words in CHECKS:
        ended = finished(near.start(*words))
        assert ended.exit == 11 and f"{port} dead-child" in ended.stderr, ended
        assert f"mlxops restart {port}" in ended.stdout


@pytest.mark.slow
def test_a_port_that_is_worked_on_is_not_broken(near: Studio, fake_runtime: FakeRuntime) -> None:
    fake_runtime.behaves("tiny--jade", load_s=3)
    load = near.start("load", "jade", near.ports[1])
    eventually(lambda: near.port_row(near.ports[1])["state"] == "starting")
    assert near.mlxops("status", "--check").exit == near.mlxops("reconcile", "--check").exit == 0
    assert finished(load).exit == 0
