"""The output and exit status of verify and status --deep."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.render.status import deep
from mlxops.render.verify import verify_details, verify_result
from tests.support.cli_standin import Ended, Studio, lab
from tests.support.statusrows import FREE, PLAIN, READY

__all__ = ["lab"]
pytestmark = pytest.mark.usefixtures("lab")

RIGHT = {"check": "plain", "ok": True, "detail": "finish_reason stop"}
RAW = {"check": "raw tags", "ok": False, "detail": "plain answer: \x1b[2J<think>"}
QUIET = {"check": "tool call", "ok": None, "detail": "not called"}
DRIFTED = {"check": "registry", "ok": False, "detail": "orphan: nobody's"}
PORT = {
    "port": 8100,
    "entry": "qwen",
    "state": "ready",
    "ok": False,
    "served_model": "jerry-xl",
    "first_token_ms": 51.7,
    "tokens_per_s": 23.44,
    "checks": [RIGHT, RAW, QUIET],
}
GOOD = PORT | {"ok": True, "checks": [RIGHT]}
BUSY = PORT | {
    "port": 8101,
    "ok": None,
    "state": "starting",
    "first_token_ms": None,
    "tokens_per_s": None,
    "checks": [{"check": "state", "ok": None, "detail": "starting: load a 8101"}],
}
TAKEN = {"entry": "amber", "ok": True, "reasons": []}
REFUSED = {
    "entry": "my jade",
    "ok": False,
    "reasons": ["this version has no \x1b[31m--debug", "no template"],
    "next": "mlxops set 'my jade' args=",
}


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_what_is_wrong_or_unknown_is_told_below_the_table_and_steers_no_terminal() -> None:
    assert lines(verify_result({"ports": [PORT, BUSY], "entries": [TAKEN, REFUSED]}, PLAIN)) == [
        "PORT ENTRY STATE RESULT SERVED FIRST TOKENS/S",
        "8100 qwen ready failed jerry-xl 52 ms 23.4",
        "8101 qwen starting unknown jerry-xl - -",
        "",
        "failed 8100 raw tags: plain answer: \\x1b[2J<think>",
        "unknown 8100 tool call: not called",
        "unknown 8101 state: starting: load a 8101",
        "failed my jade: cannot be started: this version has no \\x1b[31m--debug; no template",
        "next: mlxops set 'my jade' args=",
    ]


def test_all_checks_are_told_when_asked_for() -> None:
    told = lines(verify_details({"ports": [PORT], "entries": [TAKEN]}, PLAIN))
    assert (
        "ok 8100 plain: finish_reason stop" in told
        and "ok amber: its runtime accepts its settings" in told
    )


def test_nothing_is_a_sentence() -> None:
    assert verify_result({"ports": [], "entries": []}, PLAIN) == "No server is running."


@pytest.mark.parametrize(
    ("ports", "entries", "exit_code", "kind"),
    [
        ([GOOD], [TAKEN], 0, None),
        ([GOOD, PORT], [], 11, "DriftFound"),
        ([GOOD], [REFUSED], 11, "DriftFound"),
        ([GOOD, BUSY], [], 1, "Failed"),
        ([BUSY, PORT], [], 11, "DriftFound"),
        ([], [], 0, None),
    ],
)
def test_the_exit_status(ports: Any, entries: Any, exit_code: int, kind: str | None) -> None:
    done = Ended(Studio({"ports": ports, "entries": entries}), "--json", "verify")
    assert done.code == exit_code
    assert (done.document["error"] or {}).get("kind") == kind and len(
        done.document["result"]["ports"]
    ) == len(ports)


def test_status_deep_has_the_pace_and_the_verdict_and_tells_a_drift_once() -> None:
    row = READY | {"drift": "orphan", "ok": False, "first_token_ms": 51.7, "tokens_per_s": 123.4}
    drift = {"drift": "orphan", "port": 8100, "entry": None, "reason": "nobody's"}
    free = FREE | {"checks": [], "ok": None}
    told = lines(
        deep(
            {"ports": [row | {"checks": [DRIFTED, RAW]}, free], "memory": None, "drift": [drift]},
            PLAIN,
        )
    )
    assert told[:3] == [
        "PORT SLOT ENTRY STATE DRIFT SERVED RESULT FIRST TOKENS/S MEMORY UPTIME LATENCY",
        "8100 jerry-xl qwen ready orphan jerry-xl failed 52 ms 123 191 GiB 2 h 04 m 12 ms",
        "8101 - - free - - - - - - - -",
    ]
    assert told[5:] == [
        "orphan 8100: nobody's",
        "next: mlxops init to adopt it, or mlxops unload 8100 to stop it",
        "failed 8100 raw tags: plain answer: \\x1b[2J<think>",
    ]


@pytest.mark.parametrize(("ok", "exit_code"), [(True, 0), (False, 11)])
def test_status_deep_check_ends_with_11_where_a_server_is_wrong(ok: bool, exit_code: int) -> None:
    row = READY | {"ok": ok, "checks": [], "first_token_ms": None, "tokens_per_s": None}
    answer = {"ports": [row], "memory": None, "drift": []}
    assert Ended(Studio(answer), "status", "--deep", "--check").code == exit_code
    assert Ended(Studio(answer), "status", "--deep").code == 0


def test_a_timeout_without_deep_is_a_mistake() -> None:
    assert Ended(Studio(), "status", "--timeout", "9").code == 2
