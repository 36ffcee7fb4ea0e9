"""Verbs that wait for a slow program send pings, and can be cancelled."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops import bundle, session
from mlxops.agent.wire import codec as wire
from mlxops.hosts.files import read_host
from mlxops.transport import open_for
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually, finished

SLOW = """#!/bin/sh
echo $$ >>{pids}
sleep {seconds} &
echo $! >>{pids}
wait
exec {program} "$@"
"""


@pytest.fixture
def slow(
    make_studio: Callable[..., Studio], tmp_path: Path, fake_runtime: FakeRuntime
) -> Callable[[float], tuple[Studio, Path]]:
    """A local Studio whose runtime takes so many seconds to list its options, and the file with its
    pids."""

    def make(seconds: float) -> tuple[Studio, Path]:
        folder, pids = tmp_path / "slow", tmp_path / "pids"
        folder.mkdir()
        program = folder / "mlx-openai-server"
        words = {
            "pids": shlex.quote(str(pids)),
            "seconds": seconds,
            "program": shlex.quote(str(fake_runtime.program)),
        }
        program.write_text(SLOW.format(**words))
        program.chmod(0o755)
        runtime: dict[str, Any] = {"name": "mlx-openai-server", "command": [str(program), "launch"]}
        return make_studio(None, runtime), pids

    return make


@pytest.mark.slow
def test_register_pings_while_the_runtime_lists_its_options(
    slow: Callable[[float], tuple[Studio, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.HostCall, "silence_limit_s", wire.PING_INTERVAL_S * 1.3)
    studio, pids = slow(wire.PING_INTERVAL_S * 1.5)
    host = read_host(studio.hosts_dir / "studio.toml")
    events: list[dict[str, Any]] = []
    link = open_for(host).open(host.python)
    asked = session.request(host, "register", {"name": "coder", "repo": "tiny/amber"})
    result = session.converse(host, link, bundle.pack(), asked, events.append)
    assert result["actions"][0]["applied"] and pids.exists()
    assert any("reading the options" in event.get("message", "") for event in events)


def test_ctrl_c_ends_a_register_that_waits_for_its_runtime(
    slow: Callable[[float], tuple[Studio, Path]], ctrl_c: None
) -> None:
    studio, pids = slow(60)
    waiting = studio.start("--json", "register", "coder", "tiny/amber")
    eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    began = time.monotonic()
    waiting.send_signal(signal.SIGINT)
    ended = finished(waiting)
    assert (ended.exit, ended.error["kind"]) == (
        130,
        "Interrupted",
    ) and time.monotonic() - began < 10
    assert not studio.registry_path.exists()
    for pid in map(int, pids.read_text().split()):
        eventually(lambda pid=pid: not alive(pid), 10)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_launch_command_that_cannot_be_read_is_told(
    slow: Callable[[float], tuple[Studio, Path]],
) -> None:
    studio, _ = slow(0)
    studio.env["MLX_LAUNCH_CMD"] = "mlx-openai-server launch 'x"
    registered = studio.mlxops("register", "coder", "tiny/amber")
    assert registered.exit == 0 and "unbalanced quote in MLX_LAUNCH_CMD" in registered.stderr
