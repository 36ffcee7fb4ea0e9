"""The text of a mutant is found whatever its line breaks."""

from __future__ import annotations

import pytest

from .mutant import Mutant

HALF = "def f():\n    if ready:\n"
CALL = "        send(one, two)\n"


def mutant(old: str, new: str) -> Mutant:
    return Mutant("a mutant", "file.py", old, new, ())


@pytest.mark.parametrize(
    "written",
    [
        CALL,
        "        send(\n            one,\n            two,\n        )\n",
        "        send(one,  two)\n",
    ],
)
def test_line_breaks_make_no_difference(written: str) -> None:
    text = HALF + written + "        return\n"
    assert mutant(CALL, "        pass\n").apply(text) == HALF + "        pass\n        return\n"
    assert mutant(CALL, "").apply(text) == HALF + "        return\n"


def test_the_replacement_is_indented_like_the_code() -> None:
    text = HALF + CALL
    assert mutant("send(one, two)\n", "pass\n").apply(text) == HALF + "        pass\n"
    moved = mutant("    send(one, two)\n", "    one()\n    two()\n").apply(text)
    assert moved == HALF + "        one()\n        two()\n"
    back = mutant("                send(one, two)\n", "                one()\n").apply(text)
    assert back == HALF + "        one()\n"


def test_words_stay_separate_and_two_matches_are_an_error() -> None:
    assert not mutant("not in", "in").found("notin")
    with pytest.raises(AssertionError, match="2 times"):
        mutant("send(one)", "").apply("send(one)\nsend( one )\n")
