"""Which entry a word stands for, and what may be downloaded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.errors import ModelAmbiguous, ModelUnknown
from mlxops.agent.registry.entries import REQUIRED, Entry, Registry
from mlxops.agent.registry.resolve import (
    find_entry,
    is_repo_id,
    no_such_name,
    require_entry,
    unknown_model,
)


def entry(name: str, repo_id: str, model_id: str = "") -> Entry:
    return Entry(name, {**REQUIRED, "repo_id": repo_id, "model_id": model_id or repo_id})


ALL = (
    entry("jerry-xl", "mlx-community/Qwen3-235B-A22B-Instruct-2507-6bit"),
    entry("jerry-l", "halley-ai/gpt-oss-120b-MLX-6bit-gs64", "gpt-oss-120b"),
    entry("coder", "mlx-community/Qwen2.5-Coder-32B-Instruct-8bit"),
    entry("coder-small", "mlx-community/Qwen2.5-Coder-7B-Instruct-8bit"),
    entry("Twin", "org/twin-a"),
    entry("twin", "org/twin-b"),
    entry("loose", ""),
)
REGISTRY = Registry({e.name: e for e in ALL}, {})


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("jerry-xl", "jerry-xl"),
        ("JERRY-XL", "jerry-xl"),
        ("mlx-community/Qwen3-235B-A22B-Instruct-2507-6bit", "jerry-xl"),
        ("MLX-community/qwen3-235b-a22b-instruct-2507-6BIT", "jerry-xl"),
        ("gpt-oss-120b", "jerry-l"),
        ("oss-120", "jerry-l"),
        ("235b", "jerry-xl"),
        ("halley-ai/", "jerry-l"),
        ("coder", "coder"),  # in full, though it is a part of another
        ("small", "coder-small"),
        ("twin", "twin"),
        ("Twin", "Twin"),
        ("loose", "loose"),
    ],
)
def test_a_word_means_the_entry_that_a_person_would_say(word: str, name: str):
    assert require_entry(REGISTRY, word).name == name


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("TWIN", ["Twin", "twin"]),
        ("jerry", ["jerry-xl", "jerry-l"]),
        ("qwen2.5", ["coder", "coder-small"]),
        ("mlx-community/", ["jerry-xl", "coder", "coder-small"]),
    ],
)
def test_a_word_that_could_be_several_is_refused_with_all_of_them(word: str, names: list[str]):
    with pytest.raises(ModelAmbiguous) as refused:
        find_entry(REGISTRY, word)
    assert refused.value.fields["matches"] == names
    assert all(name in refused.value.message for name in names)


@pytest.mark.parametrize("word", ["", "nothing", "org/tw", "mlx-community/Qwen3", "jerry-xl ", "*"])
def test_what_matches_nothing_means_nothing(word: str):
    assert find_entry(REGISTRY, word) is None


def test_a_part_that_looks_like_a_repository_never_stands_for_another():
    """org/name may name a model that is not downloaded yet."""
    assert find_entry(REGISTRY, "halley-ai/gpt-oss") is None


@pytest.mark.parametrize(
    ("word", "near"),
    [("jery-xl", "jerry-xl"), ("gpt-oss-12b", "gpt-oss-120b"), ("Codr", "coder"), ("tiwn", "Twin")],
)
def test_an_unknown_word_is_answered_with_what_comes_near(word: str, near: str):
    with pytest.raises(ModelUnknown) as refused:
        require_entry(REGISTRY, word)
    assert near in refused.value.fields["near"]
    assert near in refused.value.hint
    assert refused.value.exit_code == 9


def test_a_word_like_nothing_here_is_told_how_to_download():
    assert "org/name" in unknown_model(REGISTRY, "zzzzzz").hint


@pytest.mark.parametrize(
    "word", ["org/name", "a/b", "mlx-community/Qwen2.5-Coder-32B-Instruct-8bit", "0x/y_z.1"]
)
def test_repository_names(word: str):
    assert is_repo_id(word)


NOT_REPOSITORIES = [
    "",
    "name",
    "/name",
    "org/",
    "org/name/more",
    "org//name",
    "../name",
    "org/..",
    "org/a..b",
    "a--b/c",
    "-org/name",
    "org/-name",
    ".org/name",
    "org/.name",
    "org /name",
    "org/na me",
    "org/name\n",
    "org/näme",
    "https://huggingface.co/org/name",
    "org/name@main",
    "org\\name",
    "org/" + "x" * 97,
    "~/models",
    "./models/x",
]


@pytest.mark.parametrize("word", NOT_REPOSITORIES)
def test_what_may_never_be_downloaded(word: str):
    assert not is_repo_id(word)


@given(st.text(max_size=20))
def test_any_word_is_found_or_unknown_or_ambiguous(word: str):
    try:
        require_entry(REGISTRY, word)
    except (ModelUnknown, ModelAmbiguous) as refused:
        assert refused.hint


def test_a_path_is_the_entry_that_is_there_or_a_folder_to_register():
    local = Entry("mine", {**REQUIRED, "cache_path": "/models/Mine"})
    registry = Registry({"mine": local}, {})
    for path in ("/models/Mine", "/models/Mine/", "/models/./Mine"):
        known = no_such_name(registry, path, "load", 8100)
        assert (known.hint, known.fields["near"]) == (
            "did you mean mlxops load mine 8100",
            ["mine"],
        )
    other = no_such_name(registry, "/models/Other", "load", 8100)
    assert other.hint == "to add a folder of the host: mlxops register --path /models/Other"
    assert unknown_model(registry, "./Other").hint.endswith("register --path ./Other")
