"""Questions in the last line."""

from __future__ import annotations

import pytest

from mlxops.watch.prompt import Prompt, asked, confirmed


def type_keys(prompt: Prompt | None, *keys: str) -> Prompt | None:
    for key in keys:
        assert prompt is not None
        prompt = prompt.press(key)
    return prompt


@pytest.mark.parametrize(("key", "times"), [("y", 1), ("Y", 1), ("n", 0), ("\n", 0), ("\x1b", 0)])
def test_only_y_is_yes(key: str, times: int) -> None:
    calls: list[str] = []
    assert type_keys(confirmed("Unload 8100? ", lambda: calls.append("yes")), key) is None
    assert len(calls) == times


def test_a_line_is_typed_mended_and_sent() -> None:
    sent: list[str] = []
    prompt = type_keys(asked("Load? ", sent.append), "q", "x", "KEY_BACKSPACE", "KEY_UP", "w", "3")
    assert prompt is not None and prompt.text == "Load? qw3_"
    assert type_keys(prompt, "\n") is None and sent == ["qw3"]


@pytest.mark.parametrize("keys", [("\n",), (" ", "\n"), ("q", "\x15", "\n"), ("q", "\x1b")])
def test_nothing_and_escape_call_nothing(keys: tuple[str, ...]) -> None:
    sent: list[str] = []
    assert type_keys(asked("Load? ", sent.append), *keys) is None and sent == []
