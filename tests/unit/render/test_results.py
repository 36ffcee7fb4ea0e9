"""Results of verbs as text."""

from __future__ import annotations

from mlxops.agent.errors import NotReady, PortBusy
from mlxops.render.actions import change_lines, change_summary, plan_summary
from mlxops.render.entries import entry_table, remove_result, set_result
from mlxops.render.errors import error_text
from mlxops.render.log import LogText
from mlxops.render.ports import load_result, unload_all_result, unload_result
from mlxops.render.style import Style
from tests.support.statusrows import DRIFT, PLAIN

MODEL = {
    "name": "a",
    "repo_id": "o/a",
    "size_bytes": 2_000_000_000,
    "format": "mlx",
    "slot": 8100,
    "slot_name": "jerry-xl",
    "port": None,
    "files": "ok",
    "problem": None,
    "cache_path": "/m/a",
}


def test_entries() -> None:
    lines = entry_table({"models": [MODEL]}, PLAIN).splitlines()
    assert lines[1].split() == ["a", "-", "2.00", "GB", "ok", "jerry-xl", "o/a", "mlx"]
    long = MODEL | {"repo_id": "o/" + "x" * 90, "port": 8101}
    wide = entry_table({"models": [long]}, Style(width=50))
    assert all(len(line) <= 50 for line in wide.splitlines()) and "8101" in wide
    typed = MODEL | {"name": "llama-3.2-1b-instruct-4bit", "repo_id": "o/" + "x" * 60}
    assert "llama-3.2-1b-instruct-4bit" in entry_table({"models": [typed]}, Style(width=80))
    assert "mlxops init" in entry_table({"models": []}, PLAIN)
    assert entry_table({"models": [], "loaded": True}, PLAIN) == "No model is loaded."


def test_an_entry_without_its_files_is_marked_in_its_row_and_explained() -> None:
    bad = MODEL | {"name": "b", "files": "gone", "problem": "/m/b does not exist", "port": 8101}
    lost = MODEL | {"name": "c", "wanted": 8102, "lost": True}
    lost |= {"files": None, "size_bytes": None, "cache_path": None}
    lines = entry_table({"models": [MODEL, bad, lost]}, PLAIN).splitlines()
    assert lines[2].split()[:5] == ["b", "8101", "2.00", "GB", "gone"]
    assert lines[3].split()[:5] == ["c", "8102", "lost", "-", "-"]
    assert lines[4:] == ["b: /m/b does not exist", "3 entries, 2.00 GB, 1 loaded"]


ACTION = {
    "action": "clear",
    "entry": "qwen",
    "port": 8100,
    "reason": "its process is gone",
    "applied": True,
}
BRINGS_BACK = ACTION | {"next": "mlxops load qwen 8100"}


def test_a_plan_is_one_line_per_change_and_per_drift() -> None:
    lost = {"drift": "lost", "port": 8100, "entry": "qwen", "reason": "gone"}
    text = change_lines(
        {"actions": [ACTION, ACTION | {"applied": False}], "drift": [lost, DRIFT]}, PLAIN
    )
    assert text.splitlines() == [
        "freed 8100 (qwen): its process is gone",
        "could not free 8100 (qwen): its process is gone",
        "mismatch 8100 qwen: serves another model (next: mlxops load qwen 8100 --replace)",
    ]


def test_what_is_cleared_is_told_once_with_the_command_that_brings_it_back() -> None:
    lost = {
        "drift": "lost",
        "port": 8100,
        "entry": "qwen",
        "reason": "gone",
        "next": "mlxops load qwen 8100",
    }
    line = (
        "freed 8100 (qwen): its process is gone (next: mlxops load qwen 8100, "
        "or mlxops unload 8100 to forget it)"
    )
    assert change_lines({"actions": [BRINGS_BACK], "drift": [lost]}, PLAIN) == line


def test_a_dry_run_of_reconcile_says_what_it_would_do() -> None:
    drift = {
        "drift": "lost",
        "port": 8101,
        "entry": "b",
        "reason": "gone",
        "next": "mlxops load b 8101",
    }
    text = plan_summary({"actions": [BRINGS_BACK | {"applied": False}], "drift": [drift]}, PLAIN)
    step = "(next: mlxops load qwen 8100, or mlxops unload 8100 to forget it)"
    assert text.splitlines() == [
        f"would free 8100 (qwen): its process is gone {step}",
        "lost 8101 b: gone (next: mlxops load b 8101, or mlxops unload 8101 to forget it)",
    ]
    assert plan_summary({"actions": [], "drift": []}, PLAIN) == "Nothing to do."


def test_nothing_to_do_is_said_to_people_and_not_to_cron() -> None:
    nothing: dict[str, list[object]] = {"actions": [], "drift": []}
    assert change_lines(nothing, PLAIN) == ""
    assert change_summary(nothing, PLAIN) == "Nothing to do."


def test_a_load_in_one_line() -> None:
    result = {
        "port": 8100,
        "entry": "b",
        "state": "ready",
        "changed": True,
        "duration_s": 12.3,
        "previous": "a",
        "served_model": "jerry-xl",
    }
    assert load_result(result, PLAIN) == "8100 serves b as jerry-xl, instead of a: ready after 12 s"
    kept = "8100 already serves b (ready); mlxops restart 8100 restarts it"
    assert load_result(result | {"changed": False}, PLAIN) == kept
    steps = [
        ACTION | {"action": "stop", "applied": False, "reason": "pid 7 serves /m"},
        ACTION | {"entry": None},
    ]
    assert load_result(result | {"actions": steps}, PLAIN).splitlines() == [
        "would stop qwen on 8100: pid 7 serves /m",
        "would free 8100: its process is gone",
    ]


def test_an_unload_in_one_line() -> None:
    assert unload_result({"port": 1, "entry": "a", "changed": True, "duration_s": 2.0}, PLAIN) == (
        "1 is free: a was unloaded in 2.0 s"
    )
    assert unload_result({"port": 1, "entry": None, "changed": False}, PLAIN) == "1 is already free"


def test_unload_all_tells_each_port_that_changed_or_failed() -> None:
    ports = [
        {"port": 1, "ok": True, "changed": True, "entry": "a", "error": None},
        {"port": 2, "ok": True, "changed": False, "entry": None, "error": None},
        {
            "port": 3,
            "ok": False,
            "changed": False,
            "entry": "c",
            "error": {"kind": "NotStopped", "message": "lives"},
        },
    ]
    assert unload_all_result({"ports": ports}, PLAIN).splitlines() == [
        "1 is free: a was unloaded",
        "3 not unloaded: lives",
    ]
    assert unload_all_result({"ports": ports[2:]}, PLAIN, dry_run=True) == "would leave 3: lives"
    assert unload_all_result({"ports": ports[1:2]}, PLAIN) == "All ports were already free."
    orphan = {"port": 4, "ok": True, "changed": True, "entry": None, "pid": 7}
    assert (
        unload_all_result({"ports": [orphan]}, PLAIN)
        == "4 is free: pid 7 was stopped (not in the registry)"
    )
    left = orphan | {"changed": False, "state": "left"}
    assert unload_all_result({"ports": [left]}, PLAIN) == "4 skipped: pid 7 is not in the registry"


def test_what_set_and_remove_did() -> None:
    assert set_result({"changed": False, "actions": []}, PLAIN) == "nothing changed"
    step = {"action": "set", "entry": "a", "reason": "x: 1 -> 2", "applied": True}
    assert set_result({"changed": True, "actions": [step]}, PLAIN) == "set a: x: 1 -> 2"
    assert remove_result({"changed": True, "entry": "a"}, PLAIN).startswith("a removed")
    assert (
        remove_result({"changed": False, "entry": "a"}, PLAIN)
        == "a would be removed; it has no files on the host"
    )


def test_an_error_has_its_message_and_a_hint_and_for_the_verbose_the_log_tail() -> None:
    error = NotReady("the server died", "mlxops logs 8100", log=["\x1b[32mone\x1b[0m", "two\x1b"])
    brief = ["mlxops: the server died", "  hint: mlxops logs 8100"]
    assert error_text(error, PLAIN).splitlines() == brief
    assert error_text(error, PLAIN, verbose=True).splitlines() == [
        "mlxops: the server died",
        "  | one",
        "  | two\\x1b",
        "  hint: mlxops logs 8100",
    ]
    assert error_text(PortBusy("busy\nwith two"), PLAIN).splitlines() == [
        "mlxops: busy",
        "  with two",
    ]


def test_the_lines_of_a_log_are_those_of_its_events_and_its_result() -> None:
    said: list[str] = []
    text = LogText(said.append)
    assert text.rest({"lines": ["a", "b\tc"]}, PLAIN) == "a\nb       c"
    text.event({"event": "log", "line": "a\n"})
    text.event({"event": "log", "lines": ["b", "\x1b[31mc"]})
    assert said == ["a", "b\nc"]


def test_the_lines_of_several_logs_begin_with_port_and_time() -> None:
    said: list[str] = []
    text = LogText(said.append, several=True, timestamps=True)
    at = "2026-11-28T19:30:01Z"
    text.event({"event": "log", "port": 8100, "line": "a", "at": at})
    assert said == [f"8100 | {at} a"]
    rows = [{"port": 8100, "lines": ["b"], "times": [None]}, {"port": 8101, "lines": ["c"]}]
    whole = LogText(said.append, several=True, timestamps=True)
    assert whole.rest({"logs": rows}, PLAIN).splitlines() == [
        f"8100 | {' ' * len(at)} b",
        f"8101 | {' ' * len(at)} c",
    ]


def test_the_json_of_several_logs_has_the_lines_of_each() -> None:
    text = LogText(print, gather=True, several=True)
    text.event({"event": "log", "port": 8101, "lines": ["a"], "times": ["then"]})
    rows = [{"port": 8100, "lines": ["b"], "times": [None]}, {"port": 8101, "lines": ["c"]}]
    assert text.whole({"logs": rows})["logs"] == [
        rows[0],
        {"port": 8101, "lines": ["a", "c"], "times": ["then", None]},
    ]
