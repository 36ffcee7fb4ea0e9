"""Looks at a real stand-in server: what each change shows, and that none leaves a trace. Runs on
Python 3.9 too."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.ops.watch import View
from mlxops.agent.verify.speed import keep_speed
from mlxops.agent.watch.look import PortWatch
from tests.support.launching import Launcher, context
from tests.support.procs_actors import eventually


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, "mlx-openai-server")
    yield made
    made.end()


@pytest.fixture
def view(launcher: Launcher, tmp_path: Path) -> Iterator[View]:
    """The view of a port with a server."""
    launcher.serving()
    with context(launcher, tmp_path, launcher.procs) as ctx:
        yield View(PortWatch(ctx, [launcher.port]))


def row(view: View) -> dict[str, Any]:
    found: dict[str, Any] = view.after_look()["ports"][0]
    return found


def until(view: View, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The row of the first look that meets the condition."""
    found: dict[str, Any] = eventually(lambda: (lambda r: r if condition(r) else None)(row(view)))
    return found


def test_a_server_is_shown_without_a_request(launcher: Launcher, view: View):
    asked, logged = len(launcher.fake.journal("request")), Path(launcher.log).read_text()
    first = row(view)
    assert (first["state"], first["drift"], first["served_model"]) == ("ready", "orphan", "jerry")
    assert first["latency_ms"] is not None and first["rss_bytes"] > 1 << 20
    for _ in range(20):
        row(view)
    assert len(launcher.fake.journal("request")) == asked
    assert Path(launcher.log).read_text() == logged


def test_a_quiet_look_makes_no_new_evidence(launcher: Launcher, tmp_path: Path):
    launcher.serving()
    with context(launcher, tmp_path, launcher.procs) as ctx:
        watch = PortWatch(ctx, [launcher.port])
        looks = [watch.look() for _ in range(50)]
    assert looks[0] and looks.count(True) < 25


def test_a_stopped_server_is_unresponsive_and_recovers(launcher: Launcher, view: View):
    assert row(view)["state"] == "ready"
    (server,) = launcher.prey().first
    os.kill(server.pid, signal.SIGSTOP)
    stopped = until(view, lambda seen: seen["state"] == "unresponsive")
    assert f"pid {server.pid} is stopped" in stopped["reason"]
    os.kill(server.pid, signal.SIGCONT)
    until(view, lambda seen: seen["state"] == "ready")


@pytest.mark.slow
def test_a_server_that_dies_is_missed_and_a_listener_is_noticed(launcher: Launcher, view: View):
    assert row(view)["state"] == "ready"
    launcher.end()
    until(view, lambda seen: seen["state"] == "free")
    with socket.create_server(("127.0.0.1", launcher.port)):
        seen = until(view, lambda seen: seen["drift"] == "foreign")
    assert seen["latency_ms"] is None and seen["requests"] is None


@pytest.mark.slow
def test_requests_under_way_are_counted(launcher: Launcher, view: View):
    assert row(view)["requests"] == 0
    with socket.create_connection(("127.0.0.1", launcher.port)):
        until(view, lambda seen: seen["requests"] == 1)
    until(view, lambda seen: seen["requests"] == 0)


def test_the_speed_is_that_of_the_last_verify_until_the_log_names_one(
    launcher: Launcher, view: View
):
    assert row(view)["tokens_per_s"] is None
    (server,) = launcher.prey().first
    keep_speed(launcher.state_dir, launcher.port, server, 31.5)
    verified = until(view, lambda seen: seen["tokens_per_s"] is not None)
    assert (verified["tokens_per_s"], verified["tokens_from"]) == (31.5, "verify")
    with open(launcher.log, "a") as log:
        log.write("Avg generation throughput: 28.0 tokens/s\n")
    logged = until(view, lambda seen: seen["tokens_from"] == "log")
    assert logged["tokens_per_s"] == 28.0


def test_the_speed_of_another_process_does_not_count(launcher: Launcher, view: View):
    (server,) = launcher.prey().first
    keep_speed(launcher.state_dir, launcher.port, server._replace(start_time="other"), 31.5)
    assert row(view)["tokens_per_s"] is None
