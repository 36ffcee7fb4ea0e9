"""The stand-in model server imitates the real ones closely enough."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime

Started = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def fake(tmp_path: Path) -> FakeRuntime:
    return FakeRuntime(tmp_path / "bin")


@pytest.fixture
def light(tmp_path: Path) -> FakeRuntime:
    return FakeRuntime(tmp_path / "light", "mlx_lm.server")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    snapshot = tmp_path / "models--tiny--amber" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    return snapshot


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Started]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(*argv: object) -> subprocess.Popen[bytes]:
        output = (tmp_path / "log").open("ab")
        running.append(subprocess.Popen([str(word) for word in argv], stdout=output, stderr=output))
        output.close()
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def openai(fake: FakeRuntime, model: Path, port: int, *more: object) -> list[object]:
    return [
        *fake.command,
        "--model-path",
        model,
        "--port",
        port,
        "--served-model-name",
        "slot",
        *more,
    ]


def ask(port: int, path: str, body: Any = None) -> tuple[int, Any]:
    payload = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}{path}", payload, timeout=10
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def eventually(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 20
    while True:
        try:
            value = true()
        except OSError:
            value = None
        if value:
            return value
        assert time.monotonic() < end
        time.sleep(0.01)


def test_help_is_the_real_text_and_a_parser_it_lacks_is_refused(
    fake: FakeRuntime, model: Path
) -> None:
    shown = subprocess.run(
        [*fake.command, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "qwen3_moe" in shown and "--served-model-name" in shown
    for wrong in (["--tool-call-parser", "QWEN3"], ["--message-converter", "x"]):
        refused = subprocess.run(
            [str(w) for w in openai(fake, model, 1, *wrong)], capture_output=True, text=True
        )
        assert refused.returncode == 2 and wrong[0] in refused.stderr


def test_port_opens_after_loading_and_only_the_served_name_is_answered(
    fake: FakeRuntime, model: Path, start: Started, free_port: int
) -> None:
    start(*openai(fake, model, free_port))
    assert eventually(lambda: ask(free_port, "/health"))[1]["model_id"] == "slot"
    chat = "/v1/chat/completions"
    assert (
        ask(free_port, chat, {"model": "slot"})[1]["choices"][0]["message"]["content"]
        == "I am tiny/amber"
    )
    assert ask(free_port, chat, {"model": "tiny/amber"})[0] == 404


def test_health_stays_200_when_the_child_is_dead_and_queue_stats_revives_it(
    fake: FakeRuntime, model: Path, start: Started, free_port: int
) -> None:
    parent = start(*openai(fake, model, free_port))
    eventually(lambda: ask(free_port, "/health"))
    child = fake.journal("child")[0]["child"]
    argv = Path(f"/proc/{child}/cmdline").read_text()
    assert "multiprocessing" in argv and str(free_port) not in argv
    os.kill(child, signal.SIGKILL)
    assert ask(free_port, "/health")[0] == 200 and not fake.journal("respawn")
    # The kernel may need a moment to end it.
    assert eventually(
        lambda: ask(free_port, "/v1/queue/stats")[0] == 200 and fake.journal("respawn")
    )
    assert parent.poll() is None


def test_a_failed_start_exits_with_status_zero(
    fake: FakeRuntime, tmp_path: Path, start: Started
) -> None:
    assert start(*openai(fake, tmp_path / "nothing", 1)).wait(20) == 0


def test_term_waits_for_a_stream_and_int_does_not(
    fake: FakeRuntime, model: Path, start: Started, free_port: int
) -> None:
    fake.behaves(tokens=1000)
    server = start(*openai(fake, model, free_port))
    eventually(lambda: ask(free_port, "/health"))
    body = json.dumps({"stream": True}).encode()
    with urllib.request.urlopen(
        f"http://127.0.0.1:{free_port}/v1/chat/completions", body, timeout=10
    ) as stream:
        stream.readline()
        server.send_signal(signal.SIGTERM)
        eventually(lambda: fake.journal("signal"))
        assert server.poll() is None and stream.readline() is not None
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == -signal.SIGINT


def test_the_light_one_listens_before_it_is_loaded_and_hangs_on_a_taken_port(
    light: FakeRuntime, model: Path, start: Started, free_port: int, tmp_path: Path
) -> None:
    light.behaves(load_s=1)
    first = start(*light.command, "--model", model, "--port", free_port)
    eventually(lambda: ask(free_port, "/health"))
    second = start(*light.command, "--model", model, "--port", free_port)
    eventually(lambda: b"Errno" in (tmp_path / "log").read_bytes())
    assert second.poll() is None
    assert ask(free_port, "/v1/chat/completions", {})[0] == 200
    first.terminate()
    assert first.wait(20) == -signal.SIGTERM


def test_switches_work_while_it_runs(
    fake: FakeRuntime, model: Path, start: Started, free_port: int
) -> None:
    start(*openai(fake, model, free_port))
    eventually(lambda: ask(free_port, "/health"))
    fake.behaves("tiny--amber", status={"/health": 500})
    assert ask(free_port, "/health")[0] == 500
