"""Wrong usage and errors: one line and a hint, or one JSON document; never a traceback."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import Failed, Interrupted, MlxopsError, NotReady, RegistryInvalid
from mlxops.cli import main
from mlxops.cli.console import Console
from mlxops.cli.root import VERBS
from mlxops.cli.run import Run
from mlxops.cli.words.verbs import ALIASES, SYNONYMS, unknown_verb
from tests.support.cli_standin import Ended, Studio, lab

__all__ = ["lab"]
pytestmark = pytest.mark.usefixtures("lab")


@pytest.mark.parametrize(
    "argv",
    [
        "lod",
        "load",
        "load a",
        "load a 9999",
        "load a 8100 extra",
        "load a 8100 --grace x",
        "load a 8100 --grace 0",
        "status --no-such-flag",
        "status 9999",
        "set a",
        "set a novalue",
        "set a =1",
        "set a x=1 x=2",
        "register",
        "register a",
        "register a o/a --slots",
        "logs 8100 -n -1",
        "list --host nobody",
        "cron --every 61",
        "completion tcsh",
    ],
)
def test_wrong_usage_is_exit_2_with_a_hint_and_no_call(argv: str) -> None:
    studio = Studio()
    ended = Ended(studio, *argv.split())
    assert (ended.code, ended.out, studio.asked) == (2, "", [])
    assert ended.err.startswith("mlxops: ")
    assert "  hint: " in ended.err
    as_json = Ended(studio, *argv.split(), "--json")
    assert (as_json.code, as_json.err) == (2, "")
    assert as_json.document["error"]["kind"] == "Usage"
    assert as_json.document["ok"] is False


def test_a_word_near_a_verb_is_told() -> None:
    assert "did you mean 'unload'?" in Ended(Studio(), "unlod").err
    assert "did you mean" not in Ended(Studio(), "bogus").err


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("hosts ad studio", "mlxops hosts add --help"),
        ("hosts lst", "mlxops hosts"),
        ("hosts zzz", "mlxops hosts --help"),
        ("cron instal", "did you mean install?"),
        ("status -o yml", "did you mean yaml?"),
        ("status -o zzz", "mlxops status --help"),
    ],
)
def test_a_word_near_a_known_one_is_told(argv: str, hint: str) -> None:
    ended = Ended(Studio(), *argv.split())
    assert (ended.code, ended.err.splitlines()[-1].strip()) == (2, f"hint: {hint}")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("run qwen 8101", "load qwen 8101"),
        ("kill 8101 --yes", "unload 8101 --yes"),
        ("get 'a b'", "show 'a b'"),
        ("describe", "show NAME"),
        ("down", "unload --all"),
        ("Top", "status --watch"),
        ("move qwen 8101", "load --move qwen 8101"),
        ("use", "hosts use NAME"),
        ("config", "hosts"),
    ],
)
def test_a_word_of_another_tool_is_answered_with_the_command(typed: str, meant: str) -> None:
    words = shlex.split(typed)
    ended = Ended(Studio(), *words)
    assert (ended.code, ended.err) == (
        2,
        f"mlxops: unknown verb '{words[0]}'\n  hint: mlxops {meant}\n",
    )


def test_every_synonym_leads_to_a_verb_and_no_alias_hides_one() -> None:
    assert not ALIASES.keys() & VERBS.keys()
    for word in SYNONYMS.keys() - VERBS.keys():
        hint = unknown_verb(word, [], VERBS).hint.split()
        assert hint[0] == "mlxops" and hint[1] in VERBS, word


@pytest.mark.parametrize(("alias", "words"), ALIASES.items())
def test_an_alias_is_its_verb_in_help_errors_and_json(alias: str, words: tuple[str, ...]) -> None:
    assert Ended(Studio(), "help", alias).out == Ended(Studio(), words[0], "--help").out
    assert Ended(Studio(), alias, "--bogus", "--json").document["command"] == words[0]
    assert f"hint: mlxops {words[0]} --help" in Ended(Studio(), alias, "--bogus").err


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("ps 8100", ("status", {"ports": [8100]})),
        ("swap qwen 8101", ("load", {"model": "qwen", "port": 8101, "replace": True})),
        ("stop 8100", ("unload", {"port": 8100})),
        ("unload-all --registered", ("unload-all", {"registered": True})),
        ("plan 8100 --prune", ("plan", {"ports": [8100], "prune": True})),
        ("lock", ("lock", {})),
        ("follow 8100", ("follow", {"job": "8100"})),
    ],
)
def test_an_alias_makes_the_call_of_its_verb(typed: str, called: tuple[str, Any]) -> None:
    studio = Studio(Failed("no"))
    Ended(studio, *typed.split())
    verb, args = studio.asked[0]
    assert (verb, args | called[1]) == (called[0], args)


def test_help_is_also_a_verb() -> None:
    unknown = Ended(Studio(), "help", "bogus")
    assert (unknown.code, "unknown verb 'bogus'" in unknown.err) == (2, True)
    assert Ended(Studio(), "help", "load").out == Ended(Studio(), "load", "--help").out
    assert Ended(Studio(), "help").out == Ended(Studio(), "--help").out


@pytest.mark.parametrize("words", [(), ("load",)])
def test_the_verb_help_prints_one_document_with_json(words: tuple[str, ...]) -> None:
    for argv in (("help", *words, "--json"), ("--json", "help", *words)):
        assert Ended(Studio(), *argv).document["result"]["help"].startswith("Usage: mlxops")


def test_numbers_and_a_missing_shell_are_told_in_plain_words() -> None:
    assert "'x' is not a whole number" in Ended(Studio(), "logs", "8100", "-n", "x").err
    assert "must be between 1 and 100" in Ended(Studio(), "search", "a", "--limit", "0").err
    assert "name a shell: bash, zsh or fish" in Ended(Studio(), "completion").err


def test_a_wrong_option_is_answered_with_the_help_of_its_verb() -> None:
    for words in (("load", "a", "8100", "--replace=yes"), ("load", "a", "8100", "--no-such")):
        assert "hint: mlxops load --help" in Ended(Studio(), *words).err
    assert "PORT is a plain argument" in Ended(Studio(), "load", "a", "--port", "8100").err


def test_an_error_of_the_call_is_told_with_its_hint_and_exit_code() -> None:
    error = NotReady("the server died", "mlxops logs 8101", log=["no such file"], port=8101)
    ended = Ended(Studio(error), "load", "qwen", "8101")
    assert (ended.code, ended.out) == (8, "")
    assert ended.err == "mlxops: the server died\n  hint: mlxops logs 8101\n"
    assert "\n  | no such file\n" in Ended(Studio(error), "-v", "load", "qwen", "8101").err
    document = Ended(Studio(error), "load", "qwen", "8101", "--json").document
    assert document["error"] == {
        "kind": "NotReady",
        "message": "the server died",
        "hint": "mlxops logs 8101",
        "port": 8101,
        "log": ["no such file"],
    }
    assert document["result"] is None


@pytest.mark.parametrize(
    ("raised", "code", "kind"),
    [
        (RegistryInvalid("line 3"), 5, "RegistryInvalid"),
        (Interrupted("cancelled and undone"), 130, "Interrupted"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (ZeroDivisionError("by zero"), 1, "Internal"),
        (OSError(5, "odd"), 1, "Failed"),
        (EOFError(), 1, "Internal"),
        (BrokenPipeError(32, "odd"), 1, "Failed"),
    ],
)
def test_whatever_is_raised_ends_in_one_line_or_one_document(
    raised: BaseException, code: int, kind: str
) -> None:
    ended = Ended(Studio(raised), "list")
    assert (ended.code, ended.out) == (code, "")
    assert "Traceback" not in ended.err and ended.err
    as_json = Ended(Studio(raised), "list", "--json")
    assert (as_json.code, as_json.document["error"]["kind"], as_json.err) == (code, kind, "")


def test_debug_shows_the_traceback_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Ended(Studio(ZeroDivisionError()), "list", "--json", "--debug")
    assert "Traceback" in ended.err
    assert ended.document["error"]["kind"] == "Internal"
    monkeypatch.setenv("MLXOPS_DEBUG", "1")
    assert "Traceback" in Ended(Studio(ZeroDivisionError()), "list").err


@pytest.mark.parametrize("kind", MlxopsError.__subclasses__())
def test_every_kind_of_error_has_its_exit_status(kind: type[MlxopsError]) -> None:
    assert Ended(Studio(kind("it")), "list").code == kind.exit_code


def test_a_partial_failure_is_told_after_the_answer() -> None:
    ended = Ended(Studio(Failed("a", "b")), "init")
    assert (ended.code, ended.err) == (1, "mlxops: a\n  hint: b\n")


def test_debug_shows_where_it_went_wrong_on_the_host_too() -> None:
    error = Failed("internal error", trace="ops/load.py, line 7")
    assert "ops/load.py, line 7" not in Ended(Studio(error), "list").err
    assert "On the host:\nops/load.py, line 7" in Ended(Studio(error), "list", "--debug").err


OPTION_VALUES = (
    ("register", "coder", "org/name", "--arg", "--json"),
    ("register", "coder", "org/name", "--chat-template", "--json"),
    ("register", "coder", "org/name", "--arg", "-q"),
    ("logs", "--", "--json"),
    ("show", "--", "--json"),
    ("load", "--served", "--", "--json"),
    ("logs", "8100", "-n", "--json"),
)


@pytest.mark.parametrize("argv", OPTION_VALUES, ids=" ".join)
def test_a_value_that_reads_like_a_flag_does_not_switch_the_output(
    lab: Path, argv: tuple[str, ...]
) -> None:
    invocation = Run(Console(io.StringIO(), io.StringIO()), Studio(Failed("no")))
    main([*argv], invocation)
    assert (invocation.flags.json, invocation.flags.quiet) == (False, False)


@pytest.mark.parametrize(
    "argv",
    [
        "nonsense --json",
        "--json nonsense",
        "status --bogus --json",
        "status --json --host",
        "load --json",
        "-q --json x",
        "nonsense word --host x --json",
    ],
)
def test_words_that_cannot_be_parsed_are_answered_in_json_where_it_is_asked(
    lab: Path, argv: str
) -> None:
    ended = Ended(Studio(), *argv.split())
    assert (ended.code, ended.document["error"]["kind"], ended.err) == (2, "Usage", "")


def test_json_as_the_value_of_a_flag_of_an_unknown_verb_is_a_value(lab: Path) -> None:
    out = io.StringIO()
    assert main(["nonsense", "--host", "--json"], Run(Console(out, io.StringIO()), Studio())) == 2
    assert out.getvalue() == ""
