"""docs/lab/families.md matches the tables and the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.openaiprogram import openai_program

from .__main__ import prepared
from .server import Outcome, free_port, outcome, serving
from .speech import SPEECHES
from .table import PAGE, both, flags_of, known, read, seen

# One family of each kind of markup, and those without a parser; all of them: `python -m
# tests.families`. test_harmony.py has gpt_oss with its flags.
FLAGGED = (
    "qwen3",
    "qwen3_moe, thinking",
    "llama, DeepSeek R1 distilled",
    "mistral",
    "gemma3_text, functiongemma",
    "deepseek_v3",
    "glm4_moe",
)
BARE = ("gpt_oss",)


def test_the_page_has_the_tables_as_they_are() -> None:
    assert known() in PAGE.read_text("utf-8"), "run python -m tests.families"


@pytest.mark.parametrize("name", SPEECHES)
def test_the_page_says_of_every_model_what_is_proposed_for_it_now(name: str) -> None:
    assert read()[name][:3] == flags_of(name), "run python -m tests.families"


def test_what_goes_wrong_is_said_on_the_page_and_nothing_else() -> None:
    wrong = {name for name, row in read().items() if row[3:5] != ("right", "right")}
    assert wrong == {name for name, speech in SPEECHES.items() if speech.lost}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, bool], Outcome]]:
    """(model, with flags) -> its outcome, all of them on one real server."""
    folder, program = tmp_path_factory.mktemp("families"), openai_program()
    assert program
    wanted = {
        f"m{n}": pair
        for n, pair in enumerate([*((n, True) for n in FLAGGED), *((n, False) for n in BARE)])
    }
    models = {}
    for served, (name, flags) in wanted.items():
        place = folder / served
        place.mkdir()
        models[served] = prepared(place, name, flags)
    port = free_port()
    with serving(folder, Path(program).parent.parent, port, models):
        yield {pair: outcome(port, served, SPEECHES[pair[0]]) for served, pair in wanted.items()}


@pytest.mark.slow
@pytest.mark.openai_server
@pytest.mark.parametrize("name", FLAGGED)
def test_with_its_flags_a_model_does_what_the_page_says(
    outcomes: dict[tuple[str, bool], Outcome], name: str
) -> None:
    found = outcomes[name, True]
    assert found.right or SPEECHES[name].lost, found
    assert read()[name][3:5] == (both(found.answers), both(found.calls)), found


@pytest.mark.slow
@pytest.mark.openai_server
@pytest.mark.parametrize("name", BARE)
def test_without_them_it_goes_wrong_as_the_page_says(
    outcomes: dict[tuple[str, bool], Outcome], name: str
) -> None:
    found = outcomes[name, False]
    assert found.tags and not found.right, found
    assert read()[name][5] == seen(found), found
