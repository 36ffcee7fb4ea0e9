"""The models that init did not add: counted by kind, or a line each."""

from __future__ import annotations

from typing import Any

from mlxops.render.actions import plan_summary, with_skipped
from mlxops.render.style import Style

ROWS = [
    {"model": "org/b", "path": "/b", "kind": "speech", "reason": "a speech model (csm)"},
    {"model": "org/A", "path": "/a", "kind": "speech", "reason": "a speech model (tts)"},
    {"model": "pub/g\x1b[1m", "path": "/g", "kind": "gguf", "reason": "GGUF weights"},
]
RESULT: dict[str, Any] = {"actions": [], "drift": [], "skipped": ROWS}


PLAIN = Style()


def lines(verbose: bool, style: Style = PLAIN, **changed: Any) -> list[str]:
    return with_skipped(plan_summary, verbose)({**RESULT, **changed}, style).splitlines()


def test_one_line_counts_them_by_kind() -> None:
    (_, told) = lines(False)
    assert told == "3 other models were not added: 2 speech, 1 GGUF (mlxops init -v lists them)"
    assert lines(False, skipped=[]) == ["Nothing to do."]
    assert lines(False, Style(quiet=True)) == []


def test_each_has_a_line_with_the_reason() -> None:
    told = lines(True)[1:]
    assert told[1:] == [
        "not added org/A: a speech model (tts)",
        "not added org/b: a speech model (csm)",
    ]
    assert told[0].endswith(": GGUF weights") and "\x1b" not in told[0]
