"""The screens of `apply`: what became of each port."""

from __future__ import annotations

from typing import Any

from mlxops.render.apply import apply_text, quiet_apply_text
from mlxops.render.style import Style
from mlxops.render.width import wrapped
from tests.support.planrows import LONG, row, serving
from tests.support.statusrows import PLAIN

NOT_READY = {"kind": "NotReady", "message": "gemma: RuntimeError: no", "hint": "mlxops logs 8102"}
WAITED = {
    "kind": "Failed",
    "message": "not begun: it waited for port 8102, which failed",
    "hint": "mlxops apply 8103",
    "begun": False,
}
NOT_BEGUN = {"kind": "Interrupted", "message": "not begun", "hint": "", "begun": False}
CANCELLED = {"kind": "Interrupted", "message": "cancelled; r1 serves again", "hint": "mlxops x"}


def ended(one: dict[str, Any], seconds: float | None = None, **fields: Any) -> dict[str, Any]:
    return {**one, "ok": True, "changed": False, "error": None, "duration_s": seconds, **fields}


def changed(one: dict[str, Any], seconds: float) -> dict[str, Any]:
    return ended(one, seconds, changed=True)


def lines(*rows: dict[str, Any], width: int | None = None) -> list[str]:
    return apply_text({"rows": list(rows)}, Style(width=width)).splitlines()


def test_each_step_says_what_the_port_serves_now_and_how_long_it_took() -> None:
    assert lines(
        changed(serving(8100, "swap", "r1", entry="qwen"), 182.3),
        changed(row(8101, "load", entry="phi"), 14.0),
        changed(serving(8102, "restart", "glm", entry="glm"), 20.0),
        changed(serving(8103, "unload", "coder"), 0.4),
        changed(row(8104, "download", declared="o/new"), 700),
        ended(serving(8105, "same", "a", entry="a")),
        ended(row(8106, "leave")),
    ) == [
        "8100 serves qwen, instead of r1: ready after 3 m 02 s",
        "8101 serves phi: ready after 14 s",
        "8102 serves glm: restarted, ready after 20 s",
        "8103 is free: coder was unloaded in 0.4 s",
        "8104 serves o/new: ready after 11 m 40 s",
        "5 ports changed; 2 as before",
    ]


def test_a_failure_has_its_hint_and_names_what_it_held_up() -> None:
    shown = lines(
        ended(serving(8102, "swap", "r1", entry="gemma"), 301.0, ok=False, error=NOT_READY),
        ended(row(8103, "load", entry="r1", after=[8102]), ok=False, error=WAITED),
        ended(row(8104, "blocked", kind="Locked", reason="busy", hint="mlxops jobs"), ok=False),
    )
    assert shown == [
        "8102 failed: gemma: RuntimeError: no",
        "  hint: mlxops logs 8102",
        "8103 not begun: it waited for port 8102, which failed",
        "8104 blocked: busy",
        "  hint: mlxops jobs",
        "0 ports changed, 1 failed, 1 not begun, 1 blocked",
    ]


def test_ctrl_c_tells_what_was_done_undone_and_not_begun() -> None:
    assert lines(
        changed(row(8100, "load", entry="a"), 5),
        ended(serving(8101, "swap", "r1", entry="b"), ok=False, error=CANCELLED),
        ended(row(8102, "load", entry="c"), ok=False, error=NOT_BEGUN),
    ) == [
        "8100 serves a: ready after 5.0 s",
        "8101 undone: cancelled; r1 serves again",
        "8102 not begun",
        "1 port changed, 1 undone, 1 not begun",
    ]


def test_a_long_name_does_not_fold_a_port_s_line() -> None:
    swap = changed(serving(8100, "swap", LONG, entry=LONG[::-1]), 4000)
    load = changed(row(8101, "load", entry=LONG), 4)
    shown = lines(swap, load, width=80)
    assert len(shown) == 3 and max(map(len, shown)) <= 80
    assert shown[1] == "8101 serves qwen3-30b-a3b-th…ill-qx86-hi-mlx: ready after 4.0 s"
    assert lines(load)[0].startswith(f"8101 serves {LONG}: ")


def test_a_long_reason_is_broken_between_words() -> None:
    error = {"kind": "Failed", "message": "word " * 40, "hint": ""}
    line, _ = lines(ended(row(8100, "load"), ok=False, error=error), width=60)
    shown = wrapped(line, 60)
    assert max(map(len, shown)) <= 60 and shown[1].startswith("  word word")


def test_quiet_prints_only_what_changed_or_failed() -> None:
    same = ended(serving(8100, "same", "a", entry="a"))
    assert quiet_apply_text({"rows": [same]}, PLAIN) == ""
    assert lines(same) == ["Nothing to do: every port is as planned."]
    done = changed(row(8101, "load", entry="b"), 1)
    assert quiet_apply_text({"rows": [same, done]}, PLAIN) == "8101 serves b: ready after 1.0 s"


def test_only_a_failure_is_red() -> None:
    failed = ended(row(8100, "load"), ok=False, error=NOT_READY)
    text = apply_text({"rows": [failed]}, Style(colour=True))
    assert text.startswith("8100 \x1b[31mfailed\x1b[0m: gemma")
