"""The words that users type: ports, ranges, models and options; values in, values out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.errors import MlxopsError, ModelUnknown, Usage
from mlxops.cli.words.models import model_at, model_word
from mlxops.cli.words.ports import port_word, port_words
from mlxops.hosts.files import Host, Ssh
from mlxops.render.format import port_ranges
from tests.support.cli_standin import Ended, Studio, lab

__all__ = ["lab"]

SLOTS = {"8103": {"name": "jerry-s"}, "8105": {"name": "bench,1"}}
SITE = {"ports": [8100, 8101, 8102, 8103, 8105], "slots": SLOTS}
HOST = Host("studio", Path("/h/studio.toml"), "ssh", Ssh("studio"), None, SITE)


@pytest.mark.parametrize(
    ("typed", "ports"),
    [
        (["8100"], [8100]),
        (["8100", "8101", "8100"], [8100, 8101]),
        (["8100,8101", " 8102 "], [8100, 8101, 8102]),
        (["8100-8103"], [8100, 8101, 8102, 8103]),
        (["8100..8102", "8101-8103"], [8100, 8101, 8102, 8103]),
        (["8100 - 8101"], [8100, 8101]),
        (["8103,"], [8103]),
        (["jerry-s,8100-8101,coder"], ["jerry-s", 8100, 8101, "coder"]),
        (["'org/name/'"], ["org/name"]),
        (["https://huggingface.co/org/name"], ["org/name"]),
        (["bench,1"], ["bench,1"]),
        (["qwen3-4", "3-8100x"], ["qwen3-4", "3-8100x"]),
        ([], []),
    ],
)
def test_ports_are_typed_as_numbers_names_lists_and_ranges(
    typed: list[str], ports: list[int | str]
) -> None:
    assert port_words(HOST, typed) == ports


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ("8103-8100", "the range 8103-8100 is reversed", "did you mean 8100-8103?"),
        ("8102-8109", "8104, 8106-8109 of 8102-8109 are not ports", "8102-8103, 8105?"),
        ("8103-8105", "8104 of 8103-8105 is not a port", "8103, 8105?"),
        ("9000-9009", "9000-9009 of 9000-9009 are not ports", "ports: 8100"),
        ("8100,9999", "no port '9999'", "ports: 8100"),
        ("5", "no port '5'", "did you mean 8105?"),
        ("810", "no port '810'", "did you mean 8100 to 8105?"),
        ("0-99999", "are not ports of studio", "did you mean 8100-8103, 8105?"),
    ],
)
def test_what_is_no_port_is_named(typed: str, message: str, hint: str) -> None:
    with pytest.raises(Usage) as refused:
        port_words(HOST, [typed])
    assert message in refused.value.message and hint in refused.value.hint


@pytest.mark.parametrize("typed", ["8100-8101", "8100,jerry-s"])
def test_a_verb_for_one_port_takes_one(typed: str) -> None:
    with pytest.raises(Usage, match="expected one port"):
        port_word(HOST, typed)
    assert port_word(HOST, " 8100 ") == 8100


@given(st.lists(st.sampled_from(SITE["ports"]), unique=True))  # type: ignore[arg-type]
def test_spans_read_back_as_the_same_ports(ports: list[int]) -> None:
    assert port_words(HOST, [port_ranges(ports)] if ports else []) == sorted(ports)


@given(st.text(max_size=20))
def test_any_word_is_ports_or_a_usage_error(text: str) -> None:
    try:
        assert port_words(HOST, [text])
    except Usage as refused:
        assert refused.hint


@pytest.mark.parametrize(
    ("typed", "name", "revision"),
    [
        ("coder", "coder", None),
        ("https://huggingface.co/org/name", "org/name", None),
        ("HTTPS://HuggingFace.co/org/name?x=1#files", "org/name", None),
        ("hf.co/org/name/tree/main", "org/name", None),
        ("https://hf.co/org/name/tree/refs%2Fpr%2F1", "org/name", "refs/pr/1"),
        ("https://huggingface.co/org/name/blob/v2/config.json", "org/name", "v2"),
        ("https://huggingface.co/api/models/org/name", "org/name", None),
        ("https://huggingface.co/org/name.git", "org/name", None),
        ("git@hf.co:org/name", "org/name", None),
        ("hf://org/name@v1", "org/name", "v1"),
        ("hf.co/org/name@v1", "org/name", "v1"),
        ("org/name@main", "org/name", None),
        ("org/name@v1", "org/name", "v1"),
        (" org/name/ ", "org/name", None),
        ("org / name", "org/name", None),
        ("“org/name”", "org/name", None),
        ("'coder'", "coder", None),
        ("models--org--na-me", "org/na-me", None),
        ("/x/hub/models--org--name/", "org/name", None),
        ("~/hub/models--org--name/snapshots/0123456789abcdef", "org/name", "0123456789abcdef"),
        ("~/models/x", "~/models/x", None),
    ],
)
def test_a_model_is_understood_as_it_is_pasted(typed: str, name: str, revision: str | None) -> None:
    assert model_word(typed) == (name, revision)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " '' ",
        "https://huggingface.co/org",
        "https://huggingface.co/datasets/org/name",
        "https://example.com/org/name",
        "https://[broken/org/name",
    ],
)
def test_an_address_of_something_else_is_refused(typed: str) -> None:
    with pytest.raises(Usage):
        model_word(typed)


def test_a_mirror_of_the_hub_is_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example:8443/")
    assert model_word("https://mirror.example:8443/org/name").name == "org/name"


def test_two_revisions_are_refused() -> None:
    assert model_at("org/name@v1", "v1") == model_at("org/name", "v1") == ("org/name", "v1")
    with pytest.raises(Usage, match="two revisions: v1 in"):
        model_at("org/name@v1", "v2")


@given(st.text(max_size=30))
def test_any_model_word_is_one_or_a_usage_error(text: str) -> None:
    try:
        assert model_word(text).name
    except Usage as refused:
        assert refused.hint


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ("load a --port 8100", "PORT is a plain argument", "load a 8100"),
        ("load --port=8100 a --replace", "PORT is a plain argument", "load a --replace 8100"),
        ("--host lab load --model a 8100", "MODEL is a plain", "--host lab load a 8100"),
        ("load a --port", "PORT is a plain argument", "load --help"),
        ("set a x=1 -n", "did you mean --dry-run?", "set a x=1 --dry-run"),
        ("logs 8100 --tail=5", "did you mean --lines?", "logs 8100 --lines=5"),
        ("status --depp", "did you mean --deep?", "status --deep"),
        ("status --bogus", "no option --bogus", "status --help"),
        ("load a 8100 --replace=yes", "does not take a value", "load --help"),
        ("load 8100 qwen", "8100 is a port, and MODEL comes first", "load qwen 8100"),
    ],
)
@pytest.mark.usefixtures("lab")
def test_a_wrong_option_is_answered_with_the_command_line(
    typed: str, message: str, hint: str
) -> None:
    ended = Ended(studio := Studio(), *typed.split())
    assert (ended.code, studio.asked) == (2, [])
    assert message in ended.err and f"  hint: mlxops {hint}\n" in ended.err


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("flag", ["-y", "--yes"])
def test_yes_is_accepted_where_nothing_is_asked(flag: str) -> None:
    assert Ended(Studio({"models": []}), "list", flag).code == 0
    assert Ended(Studio({"actions": []}), "init", flag).code == 0
    assert "--yes" not in Ended(Studio(), "list", "--help").out


NEAR = ModelUnknown("no entry has the name 'jery'", "did you mean jerry?", near=["jerry"])
MANY = ModelUnknown("no entry has the name 'j'", "did you mean a or b?", near=["a", "b"])
DONE: dict[str, Any] = {"port": 8101, "entry": "jerry", "state": "ready", "changed": True}


@pytest.mark.usefixtures("lab")
def test_a_near_miss_is_asked_about_before_anything_starts() -> None:
    ended = Ended(studio := Studio(NEAR, DONE), "load", "jery", "8101", agrees=True)
    assert ended.questions == ["no entry has the name 'jery'. Did you mean jerry?"]
    assert (ended.code, [args["model"] for _, args in studio.asked]) == (0, ["jery", "jerry"])
    declined = Ended(studio := Studio(NEAR), "load", "jery", "8101", agrees=False)
    assert (declined.code, len(studio.asked)) == (1, 1)
    assert declined.err == "mlxops: not loaded: you answered no\n"


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    ("error", "agrees", "flag"), [(NEAR, None, "-q"), (NEAR, True, "--json"), (MANY, True, "-q")]
)
def test_a_near_miss_is_refused_where_nobody_can_be_asked(
    error: MlxopsError, agrees: bool | None, flag: str
) -> None:
    ended = Ended(studio := Studio(error), "load", "j", "8101", flag, agrees=agrees)
    assert (ended.code, ended.questions, len(studio.asked)) == (9, [], 1)
    assert "did you mean" in ended.err + ended.out
