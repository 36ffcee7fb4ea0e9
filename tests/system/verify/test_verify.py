"""verify and status --deep, from the command line over SSH to servers that serve well, badly, or
not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.rudeness import ESCAPES
from tests.support.studio import Studio, eventually, finished
from tests.system.wire.test_hostile_text import printable

TOOL = [["get_temperature", '{"city": "Paris"}']]
LISTENER = (
    "import socket,sys,time; s=socket.create_server(('127.0.0.1',int(sys.argv[1]))); "
    "time.sleep(600)"
)


def checks(row: dict[str, Any]) -> dict[str, bool | None]:
    return {check["check"]: check["ok"] for check in row["checks"]}


def row_of(studio: Studio, *words: object, exit: int) -> dict[str, Any]:
    """The one row of a verify that ends with this status."""
    answer = studio.mlxops("verify", *words)
    assert answer.exit == exit, answer
    (row,) = answer.result["ports"]
    return dict(row)


def test_a_port_that_serves_one_that_is_free_and_one_that_died(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    good, dead, free = known.ports
    known.must("set", "amber", "tool_call_parser=qwen3_moe", "reasoning_parser=qwen3")
    known.must("load", "amber", good)
    fake_runtime.behaves(calls=TOOL, reasoning="so")
    assert row_of(known, exit=0)["port"] == good
    named = row_of(known, free, exit=1)
    assert (named["state"], named["ok"]) == ("free", None)
    known.edit(lambda registry: registry["models"]["jade"].update(port=dead))
    rows = {row["port"]: row for row in known.mlxops("verify").result["ports"]}
    assert rows.keys() == {good, dead} and rows[good]["ok"] is True
    assert checks(rows[dead]) == {"registry": False, "state": False}


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_a_port_that_loads_is_not_asked(known: Studio, fake_runtime: FakeRuntime) -> None:
    port = known.ports[0]
    fake_runtime.behaves(load_s=60)
    load = known.start("--json", "load", "amber", port)
    eventually(lambda: fake_runtime.journal("started"))
    row = row_of(known, port, exit=1)
    assert (
        row["ok"] is None
        and checks(row) == {"state": None}
        and "starting" in row["checks"][0]["detail"]
    )
    load.send_signal(signal.SIGINT)
    assert finished(load).exit == 130 and chats(fake_runtime) == []


@pytest.mark.slow
def test_a_stranger_on_a_port_is_not_asked(known: Studio, tmp_path: Path) -> None:
    port = known.ports[0]
    with subprocess.Popen([sys.executable, "-c", LISTENER, str(port)], cwd=tmp_path) as stranger:
        row = eventually(lambda: next(iter(known.mlxops("verify").result["ports"]), None))
        stranger.kill()
    assert row["ok"] is False and "foreign" in row["checks"][0]["detail"]
    assert {"plain", "stream"}.isdisjoint(checks(row))


def test_a_foreign_http_server_is_called_foreign(near: Studio, tmp_path: Path) -> None:
    port = near.ports[1]
    words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL) as stranger:
        try:
            eventually(lambda: near.port_row(port)["state"] == "unresponsive")
            told = {verb: finished(near.start(*verb)) for verb in (("status",), ("verify", "-v"))}
        finally:
            stranger.kill()
    for answer in told.values():
        assert "foreign" in answer.stdout and "unresponsive" not in answer.stdout
    verified = told["verify", "-v"]
    line = f"failed {port} registry: foreign: used by pid {stranger.pid}, "
    assert verified.exit == 11 and verified.stdout.count(f"{port} ") == 2
    assert line in verified.stdout and f"hint: mlxops status {port}\n" in verified.stderr


def test_entries_that_the_runtime_would_refuse_are_found_without_being_loaded(
    known: Studio,
) -> None:
    known.edit(lambda registry: registry["models"]["jade"].update(tool_call_parser="qwen99"))
    answer = known.mlxops("verify")
    assert answer.exit == 11 and answer.result["ports"] == []
    found = {entry["entry"]: (entry["ok"], entry["reasons"]) for entry in answer.result["entries"]}
    assert (
        found["amber"] == (True, [])
        and found["jade"][0] is False
        and "qwen99" in found["jade"][1][0]
    )
    assert answer.error["refused"] == ["jade"]


@pytest.mark.slow
def test_what_a_server_says_does_not_steer_the_terminal(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    fake_runtime.behaves(
        answers_as=ESCAPES, says="<think>" + ESCAPES, streams=ESCAPES, finish=ESCAPES
    )
    for words in (["verify"], ["verify", "-v"], ["status", "--deep"]):
        said = finished(known.start(*words))
        assert printable(said) and "owned" in said.stdout, said


def test_a_hostile_server_is_wrong_in_time(known: Studio, fake_runtime: FakeRuntime) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    for switches in ({"rude": "gigabyte"}, {"sse": "endless"}):
        fake_runtime.behaves(**switches)
        answer = known.mlxops("verify", port, "--timeout", 30)
        assert answer.exit == 11 and answer.result["ports"][0]["ok"] is False, answer


@pytest.mark.slow
def test_what_is_not_over_in_the_time_it_was_given_cannot_be_told(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    fake_runtime.behaves(sse="drip")
    row = row_of(known, port, "--timeout", 1, exit=1)
    assert (row["ok"], checks(row)["stream"], checks(row)["time"]) == (None, None, None)


@pytest.mark.slow
def test_status_deep_adds_the_pace_and_the_verdict(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port, free, _ = known.ports
    known.must("load", "amber", port)
    rows = {row["port"]: row for row in known.must("status", "--deep")["ports"]}
    assert (
        rows[port]["ok"] is True
        and rows[port]["first_token_ms"] > 0
        and rows[port]["tokens_per_s"] > 0
    )
    assert (rows[free]["ok"], rows[free]["checks"], rows[free]["tokens_per_s"]) == (None, [], None)
    assert "ok" not in known.port_row(port)
    fake_runtime.behaves(answers_as="somebody")
    assert (
        known.mlxops("status", "--deep", "--check").exit == 11
        and known.mlxops("status", "--check").exit == 0
    )


def test_a_load_ends_with_what_its_first_answer_shows(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    """A leak is reported and the server stays; one that answers with another name is not this
    port's server."""
    port = known.ports[0]
    fake_runtime.behaves(says="<|channel|>analysis")
    loaded = known.must("load", "amber", port)
    assert loaded["state"] == "ready" and [w for w in loaded["warnings"] if "<|channel|>" in w]
    assert {c["check"]: c["ok"] for c in loaded["proof"]["checks"]}["raw tags"] is False
    fake_runtime.behaves()
    fake_runtime.behaves("tiny--jade", answers_as="somebody")
    failed = known.mlxops("load", "jade", port, "--replace")
    assert failed.exit == 8 and "but answers as somebody" in failed.error["message"]
    assert known.assignments() == {"amber": port}


@pytest.mark.slow
def test_a_load_that_begins_meanwhile_makes_no_server_wrong(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    fake_runtime.behaves("tiny--amber", hang=["/v1/chat/completions"])
    verify = known.start("--json", "verify", port, "--timeout", 60)
    eventually(lambda: len(fake_runtime.journal("chat")) < len(chats(fake_runtime)))
    known.must("load", "jade", port, "--replace", "--force", "--grace", 1)
    answer = finished(verify)
    assert answer.exit == 1, answer
    (row,) = answer.result["ports"]
    assert checks(row) == {"state": None} and (
        "meanwhile" in str(row) or "another one in the end" in str(row)
    )


def chats(fake: FakeRuntime) -> list[dict[str, Any]]:
    """Requests for a chat, answered or not; the load's own is the first."""
    return [asked for asked in fake.journal("request") if asked["path"] == "/v1/chat/completions"]


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_it_at_once_and_changes_nothing(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    before = known.registry_path.read_bytes()
    fake_runtime.behaves(hang=["/v1/chat/completions"])
    verify = known.start("--json", "verify", port)
    eventually(lambda: len(chats(fake_runtime)) > 1)
    verify.send_signal(signal.SIGINT)
    assert finished(verify, 20).exit == 130
    assert known.registry_path.read_bytes() == before
    fake_runtime.behaves()


def test_marks_of_the_mlx_lm_beside_the_server_are_looked_for(
    make_studio: Callable[..., Studio], tmp_path: Path
) -> None:
    """No table of ours has the mark: its parser came with an update of mlx-lm."""
    home = tmp_path / "env"
    parsers = home / "lib/python3.11/site-packages/mlx_lm/tool_parsers"
    parsers.mkdir(parents=True)
    (parsers / "novelty.py").write_text('tool_call_start = "<novelty:call>"\n')
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to(os.path.realpath(sys.executable))
    server = FakeRuntime(home / "bin", python=str(home / "bin/python3"))
    studio = make_studio(None, {**server.table(), "grace_s": 3})
    studio.must("init")
    studio.must("load", "amber", studio.ports[0])
    server.behaves(says="<novelty:call>f()", streams="<novelty:call>f()")
    row = row_of(studio, exit=11)
    assert checks(row)["raw tags"] is False and "<novelty:call>" in str(row["checks"])
