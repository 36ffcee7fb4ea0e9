"""Verbs, with a stand-in for the call to the host: the request, the text, the exit status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import PortBusy
from tests.support.cli_standin import HOST_FILE, Ended, Studio, lab

__all__ = ["lab"]
pytestmark = pytest.mark.usefixtures("lab")

DRIFT = {"drift": "stale", "port": 8100, "entry": "qwen", "reason": "nothing listens"}
STATUS = {"ports": [{"port": 8100, "state": "free"}], "memory": None, "drift": []}
DONE = {
    "port": 8101,
    "entry": "qwen",
    "state": "ready",
    "changed": True,
    "duration_s": 1.0,
    "previous": None,
}


LOAD = {
    "model": "qwen",
    "port": 8101,
    "replace": False,
    "move": False,
    "force": False,
    "rollback": True,
    "keep": True,
    "dry_run": False,
    "timeout_s": None,
    "grace_s": None,
    "revision": None,
    "evict": False,
}
ENTRY = {
    "name": "a",
    "repo": "o/a",
    "path": None,
    "slot": None,
    "chat_template": None,
    "tool_call_parser": None,
    "reasoning_parser": None,
    "runtime": None,
    "revision": None,
    "args": [],
    "hosts": [],
    "again": False,
    "dry_run": False,
}


@pytest.mark.parametrize(
    ("argv", "verb", "args"),
    [
        ("list", "list", {}),
        ("status", "status", {"ports": None}),
        ("status 8100 jerry", "status", {"ports": [8100, "jerry"]}),
        ("status --deep", "status", {"ports": None, "deep": True, "timeout_s": None}),
        (
            "status jerry --deep --timeout 9",
            "status",
            {"ports": ["jerry"], "deep": True, "timeout_s": 9.0},
        ),
        ("verify", "verify", {"ports": None, "timeout_s": None}),
        ("verify 8100 jerry --timeout 9", "verify", {"ports": [8100, "jerry"], "timeout_s": 9.0}),
        ("load qwen 8101", "load", LOAD),
        (
            "load qwen jerry --replace --force --evict --no-rollback --no-keep --dry-run "
            "--timeout 9 --grace 2.5 --revision v1",
            "load",
            {
                "model": "qwen",
                "port": "jerry",
                "replace": True,
                "move": False,
                "force": True,
                "rollback": False,
                "keep": False,
                "dry_run": True,
                "timeout_s": 9.0,
                "grace_s": 2.5,
                "revision": "v1",
                "evict": True,
            },
        ),
        ("unload jerry", "unload", {"port": "jerry", "grace_s": None, "dry_run": False}),
        (
            "unload 8100 --grace 3 --dry-run",
            "unload",
            {"port": 8100, "grace_s": 3.0, "dry_run": True},
        ),
        (
            "unload-all --grace 3",
            "unload-all",
            {"grace_s": 3.0, "dry_run": False, "registered": False},
        ),
        ("reconcile --dry-run", "reconcile", {"dry_run": True, "restart": False}),
        ("reconcile --restart", "reconcile", {"dry_run": False, "restart": True}),
        ("init", "init", {"dry_run": False}),
        ("show jerry", "show", {"what": "jerry"}),
        (
            "fit o/a jerry --context 9",
            "fit",
            {"model": "o/a", "port": "jerry", "context": 9, "revision": None},
        ),
        ("fit a", "fit", {"model": "a", "port": None, "context": None, "revision": None}),
        ("logs jerry -n 3 -f", "logs", {"port": "jerry", "lines": 3, "follow": True}),
        ("register a o/a", "register", ENTRY),
        (
            "register a o/a --slot jerry --chat-template /t --tool-call-parser p "
            "--reasoning-parser r --runtime x "
            "--revision v --arg --flag --arg 3 --rank a=10.0.0.1 --rank b=10.0.0.2 --dry-run",
            "register",
            {
                "name": "a",
                "repo": "o/a",
                "path": None,
                "slot": 8101,
                "chat_template": "/t",
                "tool_call_parser": "p",
                "reasoning_parser": "r",
                "runtime": "x",
                "revision": "v",
                "args": ["--flag", "3"],
                "hosts": ["a=10.0.0.1", "b=10.0.0.2"],
                "again": False,
                "dry_run": True,
            },
        ),
        (
            "register --path /m/a",
            "register",
            {**ENTRY, "name": None, "repo": None, "path": "/m/a"},
        ),
        ("register --slots", "register", {"slots": True, "dry_run": False}),
        (
            "set a x=1 y= z=b=c",
            "set",
            {"name": "a", "changes": {"x": "1", "y": None, "z": "b=c"}, "dry_run": False},
        ),
        ("remove a --dry-run", "remove", {"name": "a", "dry_run": True}),
    ],
)
def test_each_command_makes_one_call_with_what_was_typed(
    argv: str, verb: str, args: dict[str, Any]
) -> None:
    studio = Studio({"ports": [], "models": [], "actions": [], "drift": [], "entries": [], **DONE})
    assert Ended(studio, *argv.split(), "--json").code == 0
    assert studio.asked == [(verb, args)]


@pytest.mark.parametrize(
    "argv", ["--host lab --json list", "list --host lab --json", "--json list --host lab"]
)
def test_global_flags_stand_before_and_after_the_verb(lab: Path, argv: str) -> None:
    (lab / "hosts" / "other.toml").write_text(HOST_FILE)
    studio = Studio({"models": []})
    ended = Ended(studio, *argv.split())
    assert studio.host and studio.host.name == "lab"
    assert ended.document == {
        "schema": 1,
        "host": "lab",
        "command": "list",
        "ok": True,
        "result": {"models": []},
        "error": None,
    }


def test_local_takes_the_same_host_file_without_ssh() -> None:
    studio = Studio({"models": []}, {"models": []})
    Ended(studio, "list")
    assert studio.host and studio.host.transport == "ssh"
    Ended(studio, "list", "--local")
    assert studio.host.transport == "local"


def test_local_without_a_host_file_says_what_to_do(lab: Path) -> None:
    (lab / "hosts" / "lab.toml").unlink()
    ended = Ended(Studio(), "--local", "list")
    assert ended.code == 2
    assert "no host file" in ended.err
    assert "hint: the usual folders: " in ended.err


def test_a_busy_port_is_replaced_when_the_person_agrees() -> None:
    studio = Studio(PortBusy("8101 serves old", port=8101, occupant="old"), DONE)
    ended = Ended(studio, "load", "qwen", "8101", agrees=True)
    assert ended.questions == ["8101 serves old. Stop it and load qwen?"]
    assert [args["replace"] for _, args in studio.asked] == [False, True]
    assert (ended.code, ended.out) == (0, "8101 serves qwen: ready after 1.0 s\n")


@pytest.mark.parametrize(
    ("agrees", "flag", "error"),
    [
        (None, "-v", PortBusy("8101 serves old", occupant="old")),
        (True, "--json", PortBusy("8101 serves old", occupant="old")),
        (True, "-v", PortBusy("8101 belongs to a launchd job", job="com.example")),
    ],
)
def test_nobody_is_asked_off_a_terminal_or_in_vain(
    agrees: bool | None, flag: str, error: PortBusy
) -> None:
    studio = Studio(error)
    ended = Ended(studio, "load", "qwen", "8101", flag, agrees=agrees)
    assert (ended.code, len(studio.asked), ended.questions) == (7, 1, [])


def test_a_busy_port_is_left_alone_when_the_person_declines() -> None:
    studio = Studio(PortBusy("8101 serves old", "add --replace", occupant="old"))
    ended = Ended(studio, "load", "qwen", "8101", agrees=False)
    assert (ended.code, len(studio.asked), len(ended.questions)) == (1, 1, 1)
    assert ended.err == "mlxops: not loaded: you answered no\n"


def test_the_question_names_the_entry_that_is_meant_and_steers_no_terminal() -> None:
    busy = PortBusy("8101 serves \x1b[2Jold", occupant="old", entry="qwen3-4b")
    ended = Ended(Studio(busy, DONE), "load", "qwen", "8101", agrees=True)
    assert ended.questions == ["8101 serves \\x1b[2Jold. Stop it and load qwen3-4b?"]


PLANNED = {
    "ok": True,
    "state": "planned",
    "changed": False,
    "pid": 7,
    "port": 8100,
    "entry": "a",
    "command": None,
}
LISTED = {
    "ports": [
        PLANNED,
        PLANNED | {"port": 8101, "entry": None, "pid": 8, "command": "mlx_lm.server --x\x1b"},
    ]
}


def test_unload_all_lists_what_it_would_stop_and_asks() -> None:
    studio = Studio(LISTED, {"ports": []})
    ended = Ended(studio, "unload-all", agrees=True)
    assert ended.questions == ["Stop these 2 servers?"]
    assert [(args["dry_run"], args.get("pids")) for _, args in studio.asked] == [
        (True, None),
        (False, [7, 8]),
    ]
    assert ended.err == (
        "These servers would be stopped:\n  8100  a (pid 7)\n"
        "These are not in the registry (perhaps started by hand):\n"
        "  8101  pid 8: mlx_lm.server --x\\x1b\n"
    )
    declined = Ended(studio := Studio(LISTED), "unload-all", agrees=False)
    assert (declined.code, len(studio.asked)) == (1, 1)
    assert declined.err.endswith("mlxops: nothing was unloaded: you answered no\n")


@pytest.mark.parametrize(
    ("agrees", "flag"), [(None, "-v"), (True, "--yes"), (True, "--json"), (True, "--dry-run")]
)
def test_unload_all_asks_nobody_off_a_terminal_or_where_yes_was_said(
    agrees: bool | None, flag: str
) -> None:
    ended = Ended(studio := Studio({"ports": []}), "unload-all", flag, agrees=agrees)
    assert (ended.code, len(studio.asked), ended.questions) == (0, 1, [])


REMOVED = {
    "entry": "qwen3",
    "repo_id": "o/q",
    "changed": True,
    "files": None,
    "size_bytes": None,
    "actions": [],
}


def test_remove_asks_about_the_entry_that_is_meant() -> None:
    studio = Studio(REMOVED, REMOVED)
    ended = Ended(studio, "remove", "QWEN3", agrees=True)
    assert ended.questions == ["Remove entry qwen3 (o/q) and its settings?"]
    assert studio.asked[1] == ("remove", {"name": "qwen3", "dry_run": False})
    assert ended.out == "qwen3 removed; it has no files on the host\n"
    assert Ended(Studio(REMOVED), "remove", "qwen3", agrees=False).code == 1
    kept = REMOVED | {"files": "/hub/x", "size_bytes": 2048}
    assert (
        Ended(Studio(kept), "remove", "qwen3", "-y").out
        == "qwen3 removed; its files stay in /hub/x (2.05 kB)\n"
    )


def test_status_check_ends_with_11_on_drift_and_still_shows_everything() -> None:
    drifted = STATUS | {"drift": [DRIFT]}
    assert Ended(Studio(STATUS), "status", "--check").code == 0
    assert Ended(Studio(drifted), "status").code == 0
    ended = Ended(Studio(drifted), "status", "--check")
    assert ended.code == 11
    assert "8100" in ended.out
    document = Ended(Studio(drifted), "status", "--check", "--json").document
    assert (document["ok"], document["error"]["kind"], document["result"]) == (
        False,
        "DriftFound",
        drifted,
    )


def test_unload_all_ends_with_1_when_a_port_could_not_be_emptied() -> None:
    ports = [
        {"port": 8100, "ok": True, "changed": True, "entry": "a"},
        {"port": 8101, "ok": False, "error": {}},
    ]
    ended = Ended(Studio({"ports": ports}), "unload-all", "--json")
    assert (ended.code, ended.document["error"]["kind"]) == (1, "Failed")
    assert ended.document["result"] == {"ports": ports}


CLEARED = {"action": "clear", "entry": "qwen", "port": 8100, "reason": "gone", "applied": True}


def test_a_quiet_reconcile_says_nothing_unless_something_changed_or_is_wrong(lab: Path) -> None:
    nothing = Ended(Studio({"actions": [], "drift": []}), "reconcile", "-q")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "")
    assert Ended(Studio({"actions": [], "drift": []}), "reconcile").out == "Nothing to do.\n"
    ended = Ended(Studio({"actions": [CLEARED], "drift": [DRIFT]}), "reconcile", "-q")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"actions": [], "drift": []}, 0),
        ({"actions": [CLEARED], "drift": []}, 0),
        ({"actions": [CLEARED | {"applied": False}], "drift": []}, 11),
        ({"actions": [], "drift": [DRIFT]}, 11),
    ],
)
def test_reconcile_check_ends_with_11_where_drift_is_left(
    result: dict[str, Any], code: int
) -> None:
    assert Ended(Studio(result), "reconcile", "--check").code == code


def test_events_go_to_stderr_and_warnings_of_the_result_are_told_once() -> None:
    events = (
        {"event": "phase", "phase": "stop", "message": "old"},
        {"event": "warning", "message": "no template"},
    )
    ended = Ended(
        Studio(DONE | {"warnings": ["no template"]}, events=events), "load", "qwen", "8101"
    )
    assert ended.err == "old\nwarning: no template\n"
    quiet = Ended(Studio(DONE, events=events), "-q", "load", "qwen", "8101")
    assert quiet.err == "warning: no template\n"


def test_log_lines_go_to_stdout_as_they_come() -> None:
    events = ({"event": "log", "line": "one\x1b"}, {"event": "warning", "message": "rotated"})
    result = {"port": 8100, "path": "/l", "lines": ["one\x1b"]}
    ended = Ended(Studio(result, events=events), "logs", "8100")
    assert (ended.out, ended.err) == ("one\\x1b\n", "warning: rotated\n")
    assert Ended(Studio(result), "logs", "8100").out == "one\\x1b\n"
    assert (
        Ended(Studio(result, events=events), "logs", "8100", "--json").document["result"] == result
    )


def test_a_dry_run_of_unload_does_not_claim_to_have_done_it() -> None:
    freed = {"port": 8100, "ok": True, "entry": "a", "changed": True, "duration_s": 0.1}
    stop = {"action": "stop", "entry": "a", "port": 8100, "reason": "pid 7", "applied": False}
    plan = {**freed, "state": "planned", "changed": False, "actions": [stop]}
    line = "would stop a on 8100: pid 7\n"
    assert Ended(Studio(plan), "unload", "8100", "--dry-run").out == line
    assert Ended(Studio({"ports": [plan]}), "unload-all", "--dry-run").out == line
    assert Ended(Studio(freed), "unload", "8100").out.startswith("8100 is free")
