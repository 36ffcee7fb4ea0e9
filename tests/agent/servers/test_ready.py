"""Readiness that cannot be faked, and failures reported within a second, with the log's end. Runs
on Python 3.9 too."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import Interrupted, NotReady
from mlxops.agent.servers.launch import PendingServer
from tests.support.launching import NAME, Launcher, since
from tests.support.procs_actors import eventually

CHAT = "/v1/chat/completions"


@pytest.fixture(params=["mlx-openai-server", "mlx_lm.server"])
def launcher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, request.param)
    yield made
    made.end()


@pytest.fixture
def openai(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, "mlx-openai-server")
    yield made
    made.end()


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, "mlx_lm.server")
    yield made
    made.end()


def refusal(launcher: Launcher, gated: PendingServer, timeout_s: float = 20.0) -> NotReady:
    with pytest.raises(NotReady) as refused:
        launcher.wait(gated, timeout_s)
    assert (refused.value.fields["port"], refused.value.exit_code) == (launcher.port, 8)
    return refused.value


def test_ready_is_after_the_load_and_after_a_chat(launcher: Launcher):
    """mlx_lm.server answers /health early: only the chat waits for the model."""
    launcher.fake.behaves(load_s=1.0)
    launcher.serving()
    (began,) = launcher.fake.journal("started")
    assert since(began) >= 1.0
    assert CHAT in [record["path"] for record in launcher.fake.journal("request")]


def test_readiness_is_seen_soon_after_it_is_true(openai: Launcher):
    openai.fake.behaves(load_s=1.0)
    openai.serving()
    chat = [record for record in openai.fake.journal("request") if record["path"] == CHAT][-1]
    assert since(chat) < 0.5


@pytest.mark.parametrize("status", [0, 1])
def test_a_death_during_the_start_is_told_within_a_second_with_the_log(
    launcher: Launcher, status: int
):
    launcher.fake.behaves(load_s=60, die_after_s=0.5, exit_status=status)
    refused = refusal(launcher, launcher.launch())
    (died,) = launcher.fake.journal("died")
    assert since(died) < 1
    assert f"ended with status {status} before it was ready" in refused.message
    assert refused.fields["log"][-1] == "RuntimeError: died as asked"
    assert len(refused.fields["log"]) <= 20


@pytest.mark.parametrize("path", ["/health", CHAT])
def test_a_death_in_the_middle_of_an_answer_is_told_within_a_second(launcher: Launcher, path: str):
    launcher.fake.behaves(hang=[path], die_after_s=1.5)
    refused = refusal(launcher, launcher.launch())
    (died,) = launcher.fake.journal("died")
    assert since(died) < 1
    assert "ended with status" in refused.message


def test_flags_that_are_refused_end_the_start_with_the_servers_own_words(openai: Launcher):
    openai.fake.behaves()
    gated = openai.launch()
    openai.wait(gated)
    openai.end()
    openai.fake.shows("  --port INTEGER   x\n  --host TEXT   x\n")
    openai.started.clear()
    refused = refusal(openai, openai.launch())
    assert any("No such option: --model-path" in line for line in refused.fields["log"])


def test_a_model_that_does_not_load_is_told(launcher: Launcher):
    (launcher.model / "config.json").unlink()
    refused = refusal(launcher, launcher.launch())
    words = "answers 503" if launcher.runtime.listens_early else "ended with status 0"
    assert words in refused.message


def listening(port: int) -> Any:
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    held.listen()
    return held


def test_a_port_that_another_process_holds_is_never_ready(launcher: Launcher):
    """Another listener would satisfy a wait for any listener, while mlx_lm.server hangs beside it
    for ever."""
    with listening(launcher.port):
        began = time.monotonic()
        refused = refusal(launcher, launcher.launch())
    assert "does not own its port" in refused.message or "ended with status" in refused.message
    assert time.monotonic() - began < 5


def test_the_old_server_on_the_port_does_not_pass_for_the_new_one(openai: Launcher):
    openai.serving()
    second = openai.launch()
    refused = refusal(openai, second)
    assert re.search("does not own its port|ended with status", refused.message)


def test_another_name_than_the_slots_is_not_ready(openai: Launcher):
    openai.fake.behaves(served_name="somebody")
    assert (
        "lists the model name somebody instead of jerry" in refusal(openai, openai.launch()).message
    )


@pytest.mark.parametrize("status", [404, 500])
def test_a_chat_that_is_refused_is_not_ready(launcher: Launcher, status: int):
    launcher.fake.behaves(status={CHAT: status})
    assert (
        f"does not answer a chat: HTTP status {status}: "
        in refusal(launcher, launcher.launch()).message
    )


def test_an_answer_in_another_name_is_not_ready(launcher: Launcher):
    launcher.fake.behaves(answers_as="somebody")
    assert (
        "reports another model name: requested as " in refusal(launcher, launcher.launch()).message
    )


def test_a_leak_in_the_first_answer_is_told_and_it_is_ready_all_the_same(openai: Launcher):
    openai.fake.behaves(says="<|channel|>analysis")
    proof = openai.wait(openai.launch())
    assert [(fault.check, fault.detail) for fault in proof.failures] == [
        ("raw tags", "short answer: <|channel|>")
    ]


def test_a_server_that_cannot_stream_is_ready_all_the_same(openai: Launcher):
    openai.fake.behaves(sse="error")
    proof = openai.wait(openai.launch())
    assert [fault.check for fault in proof.failures] == ["stream"] and proof.served_model == NAME


@pytest.mark.slow
def test_a_server_that_accepts_and_never_answers_is_given_up_in_time(launcher: Launcher):
    launcher.fake.behaves(hang=True)
    gated, began = launcher.launch(), time.monotonic()
    refused = refusal(launcher, gated, 2.0)
    assert "was not ready within 2 s; try a longer --timeout" in refused.message
    assert 2.0 <= time.monotonic() - began < 6


def test_a_server_that_never_listens_is_given_up_in_time(openai: Launcher):
    openai.fake.behaves(load_s=60)
    gated, began = openai.launch(), time.monotonic()
    refusal(openai, gated, 1.0)
    assert 1.0 <= time.monotonic() - began < 3


@pytest.mark.parametrize(
    "switches", [{"load_s": 60}, {"hang": [CHAT]}, {"hang": ["/health"]}], ids=str
)
def test_a_cancel_is_heard_at_every_stage(launcher: Launcher, switches: dict[str, Any]):
    launcher.fake.behaves(**switches)
    gated = launcher.launch()
    eventually(lambda: launcher.fake.journal("started"))
    cancelled = time.monotonic() + 1.0

    def check() -> None:
        if time.monotonic() > cancelled:
            raise Interrupted("cancelled")

    with pytest.raises(Interrupted):
        launcher.wait(gated, 30, check)
    assert time.monotonic() - cancelled < 3
    assert gated.exited() is None


def test_a_server_that_could_not_be_told_from_a_strangers_later_is_not_left_to_serve(
    light: Launcher,
):
    """As if the host file's command were a wrapper around a server with an unknown name."""
    light.runtime = light.runtime._replace(forms=(("house-server", "serve"),), modules=())
    failed = refusal(light, light.launch())
    assert "a command line that matches none of house-server serve" in failed.message
