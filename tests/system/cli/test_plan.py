"""plan and apply as a person types them: over a real SSH server, at a terminal and in a script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.restricted import Restricted
from tests.support.studio import Studio, finished
from tests.support.terminal import COLUMNS, Terminal


@pytest.fixture
def declared(known: Studio) -> Studio:
    """amber serves where jade is declared; topaz is declared for a free port."""
    known.declare({known.ports[0]: "tiny/jade", known.ports[1]: "tiny/topaz"})
    known.must("load", "amber", known.ports[0])
    return known


def text(studio: Studio, *words: object) -> tuple[int, str, str]:
    answer = finished(studio.start(*words))
    return answer.exit, answer.stdout, answer.stderr


def verdicts(result: dict[str, Any]) -> list[str]:
    return [row["verdict"] for row in result["rows"]]


def test_plan_shows_what_apply_does_and_the_second_apply_does_nothing(declared: Studio) -> None:
    first, second, _ = declared.ports
    planned = declared.must("plan")
    assert verdicts(planned) == ["swap", "load", "leave"] and planned["changes"] == 2
    assert declared.ask(first, declared.slot(first)) == "I am tiny/amber"
    assert declared.mlxops("plan", "--check").error["kind"] == "DriftFound"
    done = declared.must("apply")
    assert [row["changed"] for row in done["rows"]] == [True, True, False]
    assert declared.ask(first, declared.slot(first)) == "I am tiny/jade"
    assert declared.ask(second, declared.slot(second)) == "I am tiny/topaz"
    before = declared.registry_path.read_bytes(), declared.registry_path.stat().st_mtime_ns
    again = declared.must("apply")
    assert (again["changes"], again["changed"], verdicts(again)) == (
        0,
        False,
        ["same", "same", "leave"],
    )
    assert (
        declared.registry_path.read_bytes(),
        declared.registry_path.stat().st_mtime_ns,
    ) == before
    assert declared.mlxops("plan", "--check").exit == 0


def steady(printed: str) -> str:
    """What was printed, without the memory in use, which is another at each look."""
    if printed.startswith("{"):
        result = json.loads(printed)["result"]
        assert result.pop("memory")["fits"] is True
        return re.sub(r'(_bytes"): \d+', r"\1: SIZE", json.dumps(result))
    return re.sub(r"[\d.]+ [KMG]iB", "SIZE", printed)


def test_a_dry_run_prints_byte_for_byte_what_plan_prints(declared: Studio) -> None:
    for words in ([], ["-q"], [declared.slot(declared.ports[0]), "--prune"], ["--json"]):
        planned = text(declared, "plan", *words)
        dry = text(declared, "apply", "--dry-run", *words)
        assert planned[0] == dry[0] == 0 and str(declared.ports[0]) in dry[1]
        assert steady(planned[1]) == steady(dry[1])
    assert declared.assignments() == {"amber": declared.ports[0]}


def test_at_a_terminal_a_stop_is_asked_about_and_a_no_changes_nothing(declared: Studio) -> None:
    before = declared.registry_path.read_bytes()
    screen = Terminal(declared, "apply")
    screen.until("[y/N]")
    screen.type(b"n\n")
    assert screen.end() == 1
    assert "Stop 1 server and load 2 models?" in screen.shown
    assert "nothing was changed" in screen.shown
    assert declared.registry_path.read_bytes() == before
    assert declared.ask(declared.ports[0]) == "I am tiny/amber"


@pytest.mark.slow
def test_at_a_terminal_a_yes_applies_what_was_shown_and_no_line_folds(declared: Studio) -> None:
    screen = Terminal(declared, "apply")
    screen.until("[y/N]")
    screen.type(b"y\n")
    assert screen.end() == 0
    assert f"{declared.ports[0]} serves jade, instead of amber: ready after" in screen.shown
    assert "2 ports changed; 1 as before" in screen.shown
    lines = screen.shown.replace("\r\x1b[K", "\n").splitlines()
    ours = [line for line in lines if "\x1b" not in line]
    assert max(map(len, ours)) <= COLUMNS
    assert {"amber": None, "jade": declared.ports[0]}.items() <= {
        name: entry["port"] for name, entry in declared.registry()["models"].items()
    }.items()


def test_a_yes_stops_only_the_servers_that_were_shown(declared: Studio) -> None:
    declared.declare({declared.ports[0]: "tiny/jade"})
    screen = Terminal(declared, "apply")
    screen.until("[y/N]")
    declared.must("load", "topaz", declared.ports[0], "--replace")
    screen.type(b"y\n")
    assert screen.end() == 7 and "nothing was changed" in screen.shown
    assert declared.ask(declared.ports[0]) == "I am tiny/topaz"


def test_where_nothing_stops_nobody_is_asked(known: Studio) -> None:
    known.declare({known.ports[1]: "tiny/topaz"})
    screen = Terminal(known, "apply")
    assert screen.end() == 0 and "[y/N]" not in screen.shown
    assert f"{known.ports[1]} serves topaz: ready after" in screen.shown


@pytest.mark.slow
def test_ctrl_c_tells_what_was_done_undone_and_not_begun(
    declared: Studio, fake_runtime: FakeRuntime
) -> None:
    first, second, third = declared.ports
    declared.declare({first: "tiny/jade", second: "tiny/topaz", third: "tiny/amber"})
    fake_runtime.behaves("tiny--jade", load_s=60)
    screen = Terminal(declared, "apply", "--yes")
    screen.until(f"{first} jade  loading ")
    screen.press()
    assert screen.process.returncode == 130 and "Traceback" not in screen.shown
    assert f"{first} undone" in screen.shown
    assert declared.ask(first, declared.slot(first)) == "I am tiny/amber"


def test_one_port_by_name_ends_as_its_load_would(
    declared: Studio, fake_runtime: FakeRuntime
) -> None:
    fake_runtime.behaves("tiny--topaz", load_s=1000, die_after_s=0.3)
    answer = declared.mlxops("apply", declared.slot(declared.ports[1]))
    assert (answer.exit, answer.error["kind"]) == (8, "NotReady")
    whole = declared.mlxops("apply")
    assert (whole.exit, whole.error["kind"]) == (1, "Failed")
    assert [row["ok"] for row in whole.result["rows"]] == [True, False, True]
    shown = text(declared, "apply")
    assert f"{declared.ports[1]} failed: " in shown[1] and "  hint: " in shown[1]


def test_bad_words_and_a_host_that_is_down(
    make_studio: Callable[..., Studio], declared: Studio, login: Any
) -> None:
    for words in (["plan", 1], ["apply", "nowhere"], ["plan", "--to", "here"]):
        answer = declared.mlxops(*words)
        assert (answer.exit, answer.error["kind"]) == (2, "Usage"), words
    down = make_studio(replace(login, port=free_range(1)[0]), declared.runtime)
    for verb in ("plan", "apply"):
        answer = down.mlxops(verb)
        assert (answer.exit, answer.error["kind"]) == (3, "HostUnreachable")


def test_one_model_for_two_ports_is_refused_with_both_keys(declared: Studio) -> None:
    first, second, _ = declared.ports
    declared.declare({first: "tiny/jade", second: "tiny/jade"})
    for verb in ("plan", "apply"):
        answer = declared.mlxops(verb)
        assert (answer.exit, answer.error["kind"]) == (2, "Usage")
        assert f"slots.{first}.model" in answer.error["message"]
        assert f"slots.{second}.model" in answer.error["message"]
    assert "declare the same model" in text(declared, "hosts")[2]


@pytest.mark.openssh
def test_a_key_for_other_verbs_may_not(tmp_path: Any, fake_runtime: FakeRuntime) -> None:
    door = Restricted(tmp_path, fake_runtime.table())
    with door.server:
        door.authorize("status")
        for verb in ("plan", "apply"):
            answer = door.mlxops(verb, "--json")
            assert (answer.exit, answer.error["kind"]) == (4, "LoginRefused")
