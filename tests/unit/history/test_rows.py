"""Edits and jobs, merged to one row per change."""

from __future__ import annotations

from typing import Any

from mlxops.agent.history.edit import REQUIRED, Edit, parse_edit
from mlxops.agent.history.rows import HistoryRow, merge
from mlxops.agent.history.work import Work, parse_work

GONE = {"pid": 7, "gone": "reboot"}


def moment(second: int) -> str:
    return f"2026-11-28T07:{second // 60:02d}:{second % 60:02d}Z"


def change(entry: str, field: str, before: Any, after: Any) -> dict[str, Any]:
    return {"entry": entry, "field": field, "before": before, "after": after}


def edit(second: int, what: str, *changes: dict[str, Any]) -> Edit:
    line = {"at": moment(second), "who": "ann", "from": "mini", "what": what, "changes": changes}
    parsed = parse_edit({**line, "changes": list(changes)})
    assert parsed is not None
    return parsed


def assigned(second: int, new: str, old: str | None = None, port: int = 8100) -> Edit:
    freed = [change(old, "port", port, None)] if old else []
    return edit(second, f"load {new} {port}", *freed, change(new, "port", None, port))


def ready(second: int, name: str, port: int = 8100) -> Edit:
    return edit(second, f"serves on {port}", change(name, "wanted", None, port))


def job(since: int, ended: int | None, why: str, **more: Any) -> Work:
    line = {"job": f"j{since}", "state": "done", "port": 8100, "why": why, "who": "bob"}
    times = {"since": moment(since), "ended": None if ended is None else moment(ended)}
    parsed = parse_work({**line, "from": "cron", **times, **more})
    assert parsed is not None
    return parsed


def only(rows: list[HistoryRow]) -> dict[str, Any]:
    assert len(rows) == 1, rows
    return rows[0].to_wire()


def test_a_load_and_its_edits_are_one_row() -> None:
    load = job(10, 20, "load jad 8100", entry="jade", previous="amber", start_s=7.5)
    row = only(merge([load], [assigned(12, "jade", "amber"), ready(20, "jade")]))
    assert (row["what"], row["entry"], row["before"], row["after"]) == (
        "load",
        "jade",
        "amber",
        "jade",
    )
    assert (row["who"], row["from"], row["outcome"], row["start_s"]) == ("bob", "cron", "done", 7.5)
    assert row["duration_s"] == 10.0


def test_a_rolled_back_load_ends_with_the_previous_model() -> None:
    error = {"kind": "NotReady", "message": "it died"}
    load = job(10, 30, "load jade 8100", state="failed", error=error)
    edits = [assigned(12, "jade", "amber"), assigned(25, "amber", "jade"), ready(29, "amber")]
    row = only(merge([load], edits))
    assert (row["outcome"], row["reason"], row["after"]) == ("failed", "it died", "amber")
    assert (row["entry"], row["before"]) == ("jade", "amber")


def test_edits_of_earlier_versions_are_grouped_without_a_job() -> None:
    edits = [
        assigned(10, "jade"),
        ready(15, "jade"),
        assigned(50, "amber", "jade"),
        edit(55, "undo load on 8100", change("amber", "port", 8100, None)),
        assigned(60, "topaz", port=8101),
    ]
    rows = [row.to_wire() for row in merge([], edits)]
    assert [(row["entry"], row["outcome"], row["duration_s"]) for row in rows] == [
        ("topaz", "failed", None),
        ("amber", "failed", 5.0),
        ("jade", "done", 5.0),
    ]


def test_two_jobs_that_meet_in_one_second_keep_their_own_edits() -> None:
    works = [job(10, 12, "unload 8100"), job(12, 15, "load jade 8100")]
    edits = [
        edit(12, "unload 8100", change("amber", "port", 8100, None)),
        assigned(12, "jade"),
        ready(15, "jade"),
    ]
    first, second = (row.to_wire() for row in merge(works, edits))
    assert (first["what"], first["before"], first["after"]) == ("load", None, "jade")
    assert (second["what"], second["entry"], second["after"]) == ("unload", "amber", None)


def test_an_edit_by_a_person_during_a_load_is_a_row_of_its_own() -> None:
    rows = merge(
        [job(10, None, "load jade 8100", state="running")],
        [assigned(11, "jade"), edit(12, "set jade", change("jade", "slot", None, 8100))],
    )
    assert [(row.kind, row.outcome, row.entry) for row in rows] == [
        ("set", "done", "jade"),
        ("load", "running", "jade"),
    ]


def test_a_lost_server_names_how_it_ended_and_an_idle_reconcile_is_no_change() -> None:
    lost = edit(
        12,
        "reconcile: jade on 8100 is gone",
        change("jade", "port", 8100, None),
        change("jade", "last_process", None, GONE),
    )
    works = [job(11, 13, "reconcile"), job(40, 41, "reconcile"), job(50, 50, "note what serves")]
    row = only(merge(works, [lost]))
    assert (row["what"], row["entry"], row["reason"], row["who"]) == (
        "lost",
        "jade",
        "reboot",
        "bob",
    )


def test_a_killed_job_is_a_row_without_an_end() -> None:
    row = only(merge([job(10, None, "load jade 8100", state="died")], []))
    assert (row["outcome"], row["entry"], row["ended"], row["duration_s"]) == (
        "killed",
        "jade",
        None,
        None,
    )


def test_added_and_removed_entries_are_told_from_changed_ones() -> None:
    new = [change("new", key, None, "x" if key == "repo_id" else None) for key in REQUIRED]
    assert edit(1, "register new", *new).added == ["new"]
    old = [change("old", key, "x" if key == "repo_id" else None, None) for key in REQUIRED]
    assert edit(1, "remove old", *old).removed == ["old"]
    assert edit(1, "set old", change("old", "repo_id", "x", None)).removed == []


def test_the_newest_comes_first_also_within_a_second() -> None:
    edits = [edit(5, f"set e{n}", change(f"e{n}", "slot", None, 8100)) for n in range(3)]
    assert [row.entry for row in merge([], edits)] == ["e2", "e1", "e0"]


def test_a_line_of_any_shape_is_an_edit_or_none() -> None:
    whole = {"at": moment(1), "what": "set a", "changes": []}
    assert parse_edit(whole) is not None
    for wrong in ({"at": 7}, {"at": "x"}, {"what": None}, {"changes": "no"}):
        assert parse_edit({**whole, **wrong}) is None
    odd = parse_edit({**whole, "changes": [1, {"entry": 2}, {"entry": "a", "field": "port"}]})
    assert odd is not None and len(odd.changes) == 1
    assert parse_work({"job": 1}) is None and parse_work({"job": "a", "since": "x"}) is None
