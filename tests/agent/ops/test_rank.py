"""What another host may have done to a rank of its model here: only to the process that it
recorded."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import Failed, NotStopped
from mlxops.agent.ops.rank import rank
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.launching import Launcher, context
from tests.support.ports import free_range

RING_PORT = 19990


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, "mlx_lm.server")
    yield made
    made.end()


def asked(light: Launcher, folder: Path, do: str, **args: Any) -> dict[str, Any]:
    with context(light, folder, light.procs) as it:
        return rank(
            it,
            {"do": do, "port": light.port, "at": f"127.0.0.1:{light.port}", "grace_s": 5.0} | args,
        )


def test_the_recorded_rank_is_seen_and_stopped(light: Launcher, tmp_path: Path) -> None:
    gated = light.launch()
    record = {"pid": gated.process.pid, "start_time": gated.process.start_time}
    assert asked(light, tmp_path, "look", **record) == {"alive": True}
    assert asked(light, tmp_path, "stop", **record) == {"stopped": True}
    assert gated.exited() is not None
    assert asked(light, tmp_path, "look", **record) == {"alive": False}
    assert asked(light, tmp_path, "stop", **record) == {"stopped": False}


def test_one_at_its_gate_is_stopped_too(light: Launcher, tmp_path: Path) -> None:
    gated = light.at_the_gate(MLX_RANK="1")
    record = {"pid": gated.process.pid, "start_time": gated.process.start_time}
    assert asked(light, tmp_path, "stop", **record) == {"stopped": True}
    assert light.fake.journal("started") == []


def test_a_pid_that_is_another_process_by_now_is_gone_and_not_touched(
    light: Launcher, tmp_path: Path
) -> None:
    gated = light.launch()
    record = {"pid": gated.process.pid, "start_time": "another time"}
    assert asked(light, tmp_path, "look", **record) == {"alive": False}
    assert asked(light, tmp_path, "stop", **record) == {"stopped": False}
    assert gated.exited() is None


@pytest.mark.parametrize(
    "words", [["time.sleep(600)"], ["time.sleep(600)", "mlx_lm.server", "--port", "{port}"]]
)
def test_what_runs_something_else_is_not_stopped(
    light: Launcher, tmp_path: Path, words: list[str]
) -> None:
    line = [word.format(port=light.port) for word in ["import time; " + words[0], *words[1:]]]
    stranger = subprocess.Popen([sys.executable, "-c", *line])
    try:
        seen = light.procs.process(stranger.pid)
        assert seen is not None
        with pytest.raises(NotStopped) as refused:
            asked(light, tmp_path, "stop", pid=seen.pid, start_time=seen.start_time)
        assert refused.value.fields["pid"] == seen.pid
        assert stranger.poll() is None
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.wait()


def test_a_server_of_another_port_is_not_stopped(light: Launcher, tmp_path: Path) -> None:
    gated = light.launch()
    light.port, own = free_range(1)[0], light.port
    with pytest.raises(NotStopped):
        asked(light, tmp_path, "stop", pid=gated.process.pid, start_time=gated.process.start_time)
    light.port = own


def test_what_hinders_a_rank_here_is_told(
    light: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(light.fake.program.parent), prepend=":")
    here = str(write_cache(tmp_path / "hub", "o/a", model_files([" a"])))
    for fields, at, said in (
        ({"cache_path": str(tmp_path / "none")}, "127.0.0.1", "is missing or incomplete"),
        ({"cache_path": here}, "192.0.2.1", "192.0.2.1 is not an address of this host"),
        ({"cache_path": here, "args": ["--nope"]}, "127.0.0.1", "this version has no --nope"),
    ):
        with pytest.raises(Failed, match=said):
            wanted = {"name": "a", "entry": {"repo_id": "o/a", **fields}, "at": f"{at}:{RING_PORT}"}
            asked(light, tmp_path, "check", **wanted)
