"""restart starts what a port serves, or lost, once more: with the entry's present flags, and with a
way back."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio, eventually
from tests.support.terminal import Terminal
from tests.support.watching import job


@pytest.fixture
def one(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], init_copies: InitCopies
) -> Studio:
    made = make_studio(None, {**studio_runtime, "grace_s": 3})
    init_copies.init(made)
    return made


def restart(studio: Studio, *ports: object, **args: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ask(studio, "restart", ports=[*ports], **args)["ports"]
    return rows


def pid(studio: Studio, name: str = "amber") -> int:
    number: int = studio.entry(name)["process"]["pid"]
    return number


def test_the_same_model_with_the_present_flags_of_its_entry(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    first, before = pid(one), one.registry()
    ask(one, "set", name="amber", changes={"tool_call_parser": "hermes", "args": "--debug"})
    changes = ["--tool-call-parser qwen3 -> hermes", "--debug not set -> set"]
    (planned,) = restart(one, one.slot(port), dry_run=True)
    assert (planned["ok"], planned["changed"], planned["previous_pid"]) == (True, False, first)
    assert planned["flags"] == changes and pid(one) == first
    assert [(a["action"], a["entry"]) for a in planned["actions"]] == [
        ("stop", "amber"),
        ("start", "amber"),
    ]
    (row,) = restart(one, "amber")
    assert (row["port"], row["entry"], row["changed"], row["restarted"]) == (
        port,
        "amber",
        True,
        True,
    )
    assert row["flags"] == changes and pid(one) != first
    assert one.entry("amber")["wanted"] == before["models"]["amber"]["wanted"] == port
    assert rows(one)[port]["drift"] is None
    assert restart(one, port)[0]["flags"] == []


def test_the_old_server_comes_back_as_it_was(one: Studio, fake_runtime: FakeRuntime) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    ask(one, "set", name="amber", changes={"tool_call_parser": "hermes"})
    fake_runtime.behaves("hermes", die_after_s=0.1, load_s=100)
    (row,) = restart(one, port)
    assert (row["ok"], row["error"]["kind"]) == (False, "NotReady")
    assert row["error"]["rollback"] == "amber serves again"
    answer = one.mlxops("restart", port)
    assert (answer.exit, answer.error["kind"]) == (8, "NotReady")
    assert "qwen3" in one.entry("amber")["process"]["argv"] and one.assignments() == {"amber": port}
    assert one.ask(port, one.slot(port)) == "I am tiny/amber"


@pytest.mark.slow
def test_a_server_that_hangs_or_crashed_and_one_that_is_lost(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    first = pid(one)
    os.kill(first, signal.SIGSTOP)
    assert rows(one)[port]["next"] == f"mlxops restart {port}"
    assert restart(one, port)[0]["restarted"] and rows(one)[port]["state"] == "ready"
    for clear in (False, True):
        os.kill(pid(one), signal.SIGKILL)
        eventually(lambda: rows(one)[port]["drift"] == "stale")
        if clear:
            ask(one, "reconcile")
            assert rows(one)[port]["drift"] == "lost"
        (row,) = restart(one, port)
        assert (row["ok"], row["restarted"], row["previous_pid"]) == (True, False, None)
        assert rows(one)[port]["state"] == "ready" and one.entry("amber")["wanted"] == port


def test_a_port_without_an_entry_has_nothing_to_restart(one: Studio) -> None:
    port = one.ports[0]
    (row,) = restart(one, port)
    assert (row["error"]["kind"], row["error"]["hint"]) == ("Failed", f"mlxops load NAME {port}")
    with socket.create_server(("127.0.0.1", one.ports[1])):
        (row,) = restart(one, one.ports[1])
    assert row["error"]["kind"] == "ForeignListener"


@pytest.mark.slow
def test_a_server_that_is_not_the_entry_s_is_left_alone(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="jade", port=port)
    server = pid(one, "jade")
    one.edit(lambda registry: registry["models"].pop("jade"))
    (row,) = restart(one, port)
    assert (row["error"]["kind"], row["error"]["pid"]) == ("PortBusy", server)
    one.edit(lambda registry: registry["models"]["amber"].update(port=port))
    (row,) = restart(one, port)
    assert "not amber" in row["error"]["message"]
    assert row["error"]["hint"] == f"to replace it: mlxops load amber {port} --replace"
    assert rows(one)[port]["pid"] == server


@pytest.mark.slow
def test_what_is_wanted_and_planned_elsewhere_does_not_matter(one: Studio) -> None:
    port, other, _ = one.ports
    ask(one, "load", model="amber", port=port, keep=False)
    ask(one, "set", name="amber", changes={"slot": str(other)})
    (row,) = restart(one, port)
    assert row["ok"] and one.entry("amber")["process"]["keep"] is False
    assert not one.entry("amber").get("wanted")


@pytest.mark.slow
def test_one_failure_of_several_stops_no_other(one: Studio) -> None:
    port, empty, last = one.ports
    ask(one, "load", model="amber", port=port)
    ask(one, "load", model="jade", port=last)
    before = pid(one), pid(one, "jade")
    answer = one.mlxops("restart", port, empty, last)
    assert answer.exit == 1 and answer.error["ports"] == [empty]
    assert [row["ok"] for row in answer.result["ports"]] == [True, False, True]
    after = pid(one), pid(one, "jade")
    assert not set(before) & set(after)


@pytest.mark.slow
def test_a_cancel_undoes_the_one_under_way_and_begins_no_other(
    one: Studio, fake_runtime: FakeRuntime
) -> None:
    port, other, _ = one.ports
    ask(one, "load", model="amber", port=port)
    ask(one, "load", model="jade", port=other)
    second = pid(one, "jade")
    fake_runtime.behaves("tiny--amber", load_s=30)
    terminal = Terminal(one, "restart", port, other, "--yes")
    job(one, port, "wait")
    fake_runtime.behaves("tiny--amber")
    terminal.press()
    assert terminal.process.returncode == 130 and "Traceback" not in terminal.shown
    assert "not restarted" in terminal.shown and pid(one, "jade") == second
    assert one.ask(port, one.slot(port)) == "I am tiny/amber"


@pytest.mark.slow
def test_a_question_at_a_terminal(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    first = pid(one)
    ask(one, "set", name="amber", changes={"args": "--debug"})
    terminal = Terminal(one, "restart", port)
    terminal.until("[y/N]")
    assert f"Restart amber on {port}?" in terminal.shown
    assert f"  {port}  amber (pid {first})" in terminal.shown
    assert "changed flag: --debug not set -> set" in terminal.shown
    terminal.press()
    assert terminal.process.returncode == 130 and pid(one) == first


def test_only_the_server_that_the_user_agreed_to(one: Studio) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    (row,) = restart(one, port, pids=[1])
    assert "after you were asked" in row["error"]["message"]
    assert refusal(one, "restart").kind == "Usage"
