"""Ctrl-C typed at a terminal: for the whole foreground group, at a question, while watching."""

from __future__ import annotations

import socket
import subprocess

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio
from tests.support.terminal import Terminal
from tests.support.watching import job

AT_ONCE_S = 8.0
IN_TIME_S = 4.0  # before the search would give up by itself


@pytest.mark.slow
def test_ctrl_c_at_a_terminal_reaches_the_agent_only_through_the_client(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("tiny--jade", load_s=30)
    load = Terminal(near, "load", "jade", near.ports[0], "--replace")
    job(near, near.ports[0], "wait")
    load.press()
    assert load.process.returncode == 130 and "Traceback" not in load.shown
    assert "cancelling (press Ctrl-C again to quit without waiting)" in load.shown
    assert (
        near.assignments() == {"amber": near.ports[0]}
        and near.ask(near.ports[0]) == "I am tiny/amber"
    )


def test_ctrl_c_at_the_question_is_a_no(near: Studio) -> None:
    before = near.registry_path.read_bytes()
    load = Terminal(near, "load", "jade", near.ports[0])
    load.until("[y/N]")
    assert load.press() < AT_ONCE_S
    assert load.process.returncode == 130 and "Traceback" not in load.shown
    assert (
        near.registry_path.read_bytes() == before and near.ask(near.ports[0]) == "I am tiny/amber"
    )


@pytest.mark.slow
def test_whoever_follows_is_told_that_the_job_goes_on(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("tiny--jade", load_s=3)
    load = near.start(
        "load",
        "jade",
        near.ports[0],
        "--replace",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    job(near, near.ports[0], "wait")
    follow = Terminal(near, "follow")
    follow.until("jade  loading")
    assert follow.press() < AT_ONCE_S
    assert (
        follow.process.returncode == 130
        and "stopped watching; the job continues (mlxops jobs --follow)" in follow.shown
    )
    assert "cancel" not in follow.shown and "interrupted" not in follow.shown
    assert load.wait(timeout=60) == 0 and near.assignments() == {"jade": near.ports[0]}


def test_leaving_a_log_is_no_failure(near: Studio) -> None:
    logs = Terminal(near, "logs", near.ports[0], "-f")
    logs.until("\n")
    seen = len(logs.shown)
    assert logs.press() < AT_ONCE_S
    assert (
        logs.process.returncode == 130
        and "mlxops" not in logs.shown[seen:]
        and "cancel" not in logs.shown
    )


def test_a_search_is_left_at_once(near: Studio) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        near.env["HF_ENDPOINT"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        search = Terminal(near, "search", "qwen")
        with silent.accept()[0]:
            assert search.press() < IN_TIME_S
    assert search.process.returncode == 130 and "Traceback" not in search.shown
