"""Text measured, shortened and wrapped for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.render.width import broken, shorten, shorten_all, width, with_short_names, wrapped

QWEN = "nightmedia/Qwen3-30B-A3B-Thinking-2507-Claude-4.5-Sonnet-Distill"


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("ab", 2), ("\x1b[31mab\x1b[0m", 2), ("模型", 4), ("é", 1), ("e\u0301", 1)],
)
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns


def test_the_middle_is_cut_out() -> None:
    assert shorten("qwen3-235b-a22b-4bit", 11) == "qwen3…-4bit"
    assert shorten("short", 5) == "short"
    assert shorten("\x1b[31mabcdefgh\x1b[0m", 5) == "\x1b[31mab…gh\x1b[0m"
    assert width(shorten("模型模型模型", 7)) <= 7


@pytest.mark.parametrize(
    "names",
    [
        [f"{QWEN}-qx86-hi-mlx", f"{QWEN}-qx64-hi-mlx"],
        [f"mlx-community/{QWEN}-4bit", f"lmstudio/{QWEN}-4bit"],
        [f"{QWEN}-a-long-tail-of-words", QWEN.replace("4.5", "4.6") + "-a-long-tail-of-words"],
        [f"{QWEN}{count:03d}{QWEN}" for count in range(300)],
        [QWEN, QWEN, QWEN + "x"],
    ],
)
@pytest.mark.parametrize("room", [16, 20, 30])
def test_names_that_differ_stay_apart(names: list[str], room: int) -> None:
    short = shorten_all(names, room)
    assert all(width(name) <= room for name in short)
    assert len(set(short)) == len(set(names))
    assert [short[names.index(name)] for name in names] == short


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]))), st.integers(1, 30)
)
def test_nothing_is_wider_than_its_room(texts: list[str], room: int) -> None:
    assert all(width(text) <= max(room, 1) for text in shorten_all(texts, room))


def test_a_line_is_wrapped_between_words_and_indented() -> None:
    assert wrapped("one two three four", 9) == ["one two", "  three", "  four"]
    assert wrapped("  next: run it", 10) == ["  next:", "    run it"]
    assert wrapped("short", 5) == ["short"] and wrapped("a b", None) == ["a b"]
    assert wrapped("see /a/very/long/path now", 10) == ["see", "  /a/very/long/path", "  now"]
    assert wrapped("\x1b[31mfailed\x1b[0m: it", 11) == ["\x1b[31mfailed\x1b[0m: it"]


def test_a_cell_is_broken_wherever_it_must() -> None:
    assert broken("one two /long/path x", 6) == ["one", "two", "/long/", "path x"]
    assert broken("", 6) == [""]


@pytest.mark.parametrize(
    ("text", "room", "cut"),
    [
        ("free -> qwen3-30b-a3b-instruct-4bit", 24, "free -> qwen3-30…ct-4bit"),
        (f"{QWEN}-a -> {QWEN}-b", 24, "night…ll-a -> night…ll-b"),
        ("a -> b", 20, "a -> b"),
    ],
)
def test_both_sides_of_an_arrow_are_kept(text: str, room: int, cut: str) -> None:
    assert shorten(text, room) == cut


def test_a_sentence_is_cut_at_its_end() -> None:
    assert shorten_all(["the server ended", "short"], 9, prose=True) == ["the serv…", "short"]


def test_a_long_name_is_shortened_in_a_line_that_would_be_folded() -> None:
    text = f"would stop {QWEN} on 8100\n  next: mlxops load {QWEN} 8100\n{QWEN}"
    lines = with_short_names(text, 70).splitlines()
    assert lines[0] == f"would stop {shorten(QWEN, 40)} on 8100"
    assert lines[1:] == text.splitlines()[1:]
    path = f"it serves /models/{QWEN}/snapshots/{QWEN}"
    assert with_short_names(path, 70) == path and with_short_names(text, None) == text


@pytest.mark.parametrize("room", [20, 27, 30])
def test_both_sides_of_an_arrow_stay_different(room: int) -> None:
    one, other = "qwen3-coder-30b-a3b-4bit", "qwen3-coder-480b-a35b-4bit"
    for text in (f"{one} -> {other}", f"{other} -> {one}"):
        before, _, after = shorten(text, room).partition(" -> ")
        assert before != after and width(f"{before} -> {after}") <= room
        assert shorten_all([text], room, prose=True) == [f"{before} -> {after}"]
    assert shorten("qwen3-4b-4bit -> qwen3-8b-4bit", 20) == "qwen3-4… -> qwen3-8…"
