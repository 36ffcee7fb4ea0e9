"""history: who changed what, from the registry's history and the jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Answer, Studio, finished
from tests.support.watching import refused


def told(studio: Studio, *words: object) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = studio.must("history", *words)["changes"]
    return changes


def brief(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(r["what"], r["port"], r["entry"], r["before"], r["after"], r["outcome"]) for r in rows]


def text_of(studio: Studio, *words: object) -> Answer:
    return finished(studio.start(*words))


def test_a_day_is_told_newest_first(one: Studio) -> None:
    port, other = one.ports[:2]
    one.must("load", "amber", port)
    one.must("load", "jade", port, "--replace")
    one.must("set", "topaz", f"slot={other}")
    one.must("unload", port)
    rows = told(one)
    assert brief(rows) == [
        ("unload", port, "jade", "jade", None, "done"),
        ("set", None, "topaz", None, None, "done"),
        ("load", port, "jade", "amber", "jade", "done"),
        ("load", port, "amber", None, "amber", "done"),
        ("init", None, None, None, None, "done"),
    ]
    assert rows[1]["changes"] == [
        {"entry": "topaz", "field": "slot", "before": None, "after": other}
    ]
    assert rows[-1]["added"] == ["amber", "jade", "topaz"]
    assert all(row["who"] and row["from"] and row["at"].endswith("Z") for row in rows)
    assert 0 < rows[2]["start_s"] <= rows[2]["duration_s"]
    assert [r["what"] for r in told(one, "-n", 2)] == ["unload", "set"]
    assert {r["entry"] for r in told(one, one.slot(port))} == {"amber", "jade"}
    assert [r["what"] for r in told(one, "topaz")] == ["set", "init"]
    assert told(one, "--since", "2020-01-01") == rows and not told(one, "--since", "2099-01-01")


def test_a_failure_has_its_reason_and_a_removed_entry_its_history(one: Studio) -> None:
    one.must("register", "gone", "tiny/never")
    one.must("remove", "gone")
    assert [(r["what"], r["added"], r["removed"]) for r in told(one, "gone")] == [
        ("remove", [], ["gone"]),
        ("register", ["gone"], []),
    ]
    error = refused(one.mlxops("history", "gon"), 9, "ModelUnknown")
    assert error["hint"] == "did you mean gone?"


@pytest.mark.slow
def test_a_load_that_was_rolled_back_has_its_reason(one: Studio, fake_runtime: FakeRuntime) -> None:
    port = one.ports[0]
    one.must("load", "amber", port)
    fake_runtime.behaves("tiny--jade", die_after_s=0.05, load_s=30)
    message = one.mlxops("load", "jade", port, "--replace").error["message"]
    row = told(one, port)[0]
    assert brief([row]) == [("load", port, "jade", "amber", "amber", "failed")]
    assert row["reason"] == message[:500]
    table = text_of(one, "history", "-n", 1).stdout
    assert "load failed" in table and message.partition(";")[0][:30] in table


def test_a_broken_registry_and_damaged_lines_leave_the_history(one: Studio) -> None:
    one.must("set", "topaz", f"slot={one.ports[1]}")
    history = one.registry_path.with_suffix(".history.jsonl")
    history.write_text("not json\n" + history.read_text() + '{"at": "cut')
    one.registry_path.write_text("{")
    shown = text_of(one, "history")
    assert shown.exit == 0 and "slot: not set -> " in shown.stdout
    assert shown.stderr == "warning: skipped 2 damaged lines of the history\n"
    assert one.must("history")["registry_error"]["kind"] == "RegistryInvalid"


@pytest.mark.slow
def test_lines_and_job_logs_of_earlier_versions_are_read(one: Studio) -> None:
    port = one.ports[0]
    one.must("load", "amber", port)
    record = one.state_dir / "jobs.jsonl"
    line = json.loads(record.read_text())
    assert (line["entry"], line["state"]) == ("amber", "done")
    record.unlink()
    assert brief(told(one, port)) == [("load", port, "amber", None, "amber", "done")]
    for log in (one.state_dir / "jobs").iterdir():
        log.unlink()
    assert brief(told(one, port)) == [("load", port, "amber", None, "amber", "done")]


@pytest.mark.parametrize("words", [("--since", "soon"), ("-n", "0"), ("-n", "5001")])
def test_a_wrong_option_is_a_usage_error(one: Studio, words: tuple[str, ...]) -> None:
    assert one.mlxops("history", *words).exit == 2
