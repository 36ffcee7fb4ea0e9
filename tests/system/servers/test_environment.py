"""Servers look for models where the host file says, and `status` does not fill their logs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually

Make = Callable[..., Studio]


@pytest.fixture
def local(make_studio: Make, fake_runtime: FakeRuntime) -> Callable[..., Studio]:
    """A local Studio of stand-in servers with its models known; `env` is that of [runtime]."""

    def make(env: dict[str, str] | None = None, **login: str) -> Studio:
        runtime: dict[str, Any] = {
            "name": "mlx-openai-server",
            "command": fake_runtime.command,
            "grace_s": 10,
        }
        studio = make_studio(None, {**runtime, **({"env": env} if env else {})}, env=login)
        studio.must("init")
        return studio

    return make


def environment(studio: Studio, port: int) -> dict[str, str]:
    pid = studio.port_row(port)["pid"]
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(os.fsdecode(pair).partition("=")[::2] for pair in pairs if pair)  # type: ignore[misc]


def loaded(studio: Studio) -> dict[str, str]:
    studio.must("load", "amber", studio.ports[0])
    return environment(studio, studio.ports[0])


def test_a_server_gets_the_host_files_cache_and_not_the_logins(
    local: Callable[..., Studio],
) -> None:
    studio = local(
        HF_HOME="/elsewhere", HF_HUB_CACHE="/elsewhere/hub", HUGGINGFACE_HUB_CACHE="/old"
    )
    env = loaded(studio)
    assert env["HF_HOME"] == str(studio.hf_home)
    assert "HF_HUB_CACHE" not in env and "HUGGINGFACE_HUB_CACHE" not in env


def test_where_the_registry_lies_in_another_root_that_is_the_cache(
    local: Callable[..., Studio],
) -> None:
    studio = local()
    studio.describe(registry=str(studio.hf_home / "registry.json"))
    (studio.hub / "registry.json").rename(studio.hf_home / "registry.json")
    env = loaded(studio)
    studio.must("unload", studio.ports[0])
    assert (env["HF_HOME"], env["HF_HUB_CACHE"]) == (str(studio.hf_home), str(studio.hf_home))


@pytest.mark.parametrize("said", [{"HF_HOME": "/own"}, {"HF_HUB_CACHE": "/own/hub"}], ids=str)
def test_what_the_host_file_says_of_the_environment_wins(
    local: Callable[..., Studio], said: dict[str, str]
) -> None:
    studio = local(env=said, HF_HUB_CACHE="/elsewhere")
    env = loaded(studio)
    whole = {"HF_HOME": str(studio.hf_home), "HF_HUB_CACHE": None, **said}
    assert {key: env.get(key) for key in ("HF_HOME", "HF_HUB_CACHE")} == {**whole}


def log_of(studio: Studio, port: int) -> bytes:
    return (studio.state_dir / "logs" / f"{port}.log").read_bytes()


def row(studio: Studio, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = studio.must("status", studio.ports[0], *words)["ports"][0]
    return found


def test_status_writes_no_line_into_a_servers_log_more_than_once_a_minute(
    local: Callable[..., Studio],
) -> None:
    studio = local()
    port = studio.ports[0]
    studio.must("load", "amber", port)
    first = row(studio)
    written = log_of(studio, port)
    for _ in range(4):
        again = row(studio)
        assert (again["state"], again["drift"], again["pid"]) == ("ready", None, first["pid"])
        assert again["served_model"] == studio.slot(port) and again["latency_ms"] is not None
    assert log_of(studio, port) == written
    assert (
        row(studio, "--check")["state"] == "ready"
        and b"/health" in log_of(studio, port)[len(written) :]
    )


@pytest.mark.slow
def test_a_hung_server_is_found_at_once_although_it_answered_a_moment_ago(
    local: Callable[..., Studio],
) -> None:
    studio = local()
    studio.must("load", "amber", studio.ports[0])
    for _ in range(2):
        pid = row(studio)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert row(studio)["state"] == "unresponsive"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: row(studio)["state"] == "ready")


@pytest.mark.slow
def test_an_answer_is_not_taken_for_that_of_another_server_or_of_another_minute(
    local: Callable[..., Studio],
) -> None:
    def asks() -> bool:
        before = log_of(studio, port).count(b"/health")
        assert row(studio)["state"] == "ready"
        return log_of(studio, port).count(b"/health") > before

    studio = local()
    port = studio.ports[0]
    studio.must("load", "amber", port)
    assert asks()
    kept = studio.state_dir / "run" / f"{port}.answer.json"
    note = json.loads(kept.read_text())
    kept.write_text(json.dumps({**note, "at": note["at"] - 60}))
    assert asks()
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "at": time.time() + 30}))
    assert asks()
    for nonsense in ("", "[]", '{"at": "now"}', "{" * 5000):
        kept.write_text(nonsense)
        assert row(studio)["state"] == "ready"
    studio.must("load", "jade", port, "--replace")
    assert asks()


@pytest.mark.slow
@pytest.mark.parametrize(
    "runtime", ["light_runtime", pytest.param("openai_runtime", marks=pytest.mark.openai_server)]
)
def test_the_real_servers_log_stays_as_it_is(
    make_studio: Make, runtime: str, request: pytest.FixtureRequest
) -> None:
    """Also without a cache in the login: mlx_lm.server would log a traceback for each list of
    models."""
    studio = make_studio(None, request.getfixturevalue(runtime))
    studio.env["HOME"] = str(studio.folder)
    studio.must("init")
    port = studio.ports[0]
    studio.must("load", "amber", port)
    assert row(studio)["state"] == "ready"
    written = log_of(studio, port)
    assert b"Traceback" not in written
    for _ in range(5):
        assert row(studio)["state"] == "ready"
    assert log_of(studio, port) == written
    pid = row(studio)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert row(studio)["state"] == "unresponsive"
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "runtime", ["light_runtime", pytest.param("openai_runtime", marks=pytest.mark.openai_server)]
)
def test_every_process_of_a_real_server_has_the_host_files_cache(
    make_studio: Make, runtime: str, request: pytest.FixtureRequest
) -> None:
    """The workers that it spawns too: all of its session."""
    studio = make_studio(None, request.getfixturevalue(runtime), env={"HF_HOME": "/elsewhere"})
    studio.must("init")
    port = studio.ports[0]
    studio.must("load", "amber", port)
    leader = studio.port_row(port)["pid"]
    stats = {path.parent.name: path.read_text() for path in Path("/proc").glob("[0-9]*/stat")}
    family = [
        pid for pid, stat in stats.items() if stat.rpartition(")")[2].split()[3] == f"{leader}"
    ]
    assert len(family) > (1 if runtime == "openai_runtime" else 0)
    for pid in family:
        assert f"HF_HOME={studio.hf_home}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
