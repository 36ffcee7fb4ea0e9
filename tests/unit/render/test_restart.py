"""What restart prints."""

from __future__ import annotations

from typing import Any

from mlxops.render.restart import restart_question, restart_result, servers_to_restart
from tests.support.statusrows import PLAIN

DONE: dict[str, Any] = {
    "port": 8100,
    "entry": "a",
    "ok": True,
    "changed": True,
    "restarted": True,
    "state": "ready",
    "served_model": "s",
    "previous": "a",
    "previous_pid": 7,
    "duration_s": 2.0,
    "flags": ["--x 1 -> 2"],
}
FAILED = {"port": 8101, "entry": "b", "ok": False, "error": {"message": "no\x1b way"}}


def test_each_port_and_the_flags_that_changed() -> None:
    shown = restart_result({"ports": [DONE, FAILED]}, PLAIN).splitlines()
    assert shown == [
        "8100 serves a as s: restarted, ready after 2.0 s",
        "  changed flag: --x 1 -> 2",
        "8101 not restarted: no\\x1b way",
    ]
    lost = {**DONE, "restarted": False, "previous_pid": None, "flags": []}
    shown = restart_result({"ports": [lost]}, PLAIN).splitlines()
    assert shown == ["8100 serves a as s: ready after 2.0 s (it was not running)"]


def test_a_plan() -> None:
    actions = [{"action": "stop", "entry": "a", "port": 8100, "reason": "pid 7 serves a"}]
    shown = restart_result({"ports": [{**DONE, "changed": False, "actions": actions}]}, PLAIN)
    assert shown == "would stop a on 8100: pid 7 serves a\n  changed flag: --x 1 -> 2"


def test_the_only_failure_is_the_command_s_own_error() -> None:
    assert restart_result({"ports": [FAILED]}, PLAIN) == ""


def test_what_is_shown_before_the_question() -> None:
    lost = {**DONE, "port": 8102, "entry": "c", "previous_pid": None, "flags": []}
    shown = servers_to_restart({"ports": [DONE, FAILED, lost]}, PLAIN).splitlines()
    assert shown == [
        "  8100  a (pid 7)",
        "        changed flag: --x 1 -> 2",
        "8101 not restarted: no\\x1b way",
        "  8102  c (not running)",
    ]


def test_the_question() -> None:
    assert restart_question([DONE]) == "Restart a on 8100?"
    assert restart_question([DONE, DONE]) == "Restart these 2 servers?"
