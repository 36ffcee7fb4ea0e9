"""-o, --sort and --columns, and what a terminal changes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import yaml

from mlxops.agent.errors import Failed
from mlxops.cli import main
from mlxops.cli.console import Console
from mlxops.cli.root import VERBS, root
from mlxops.cli.run import Run
from mlxops.render.width import width
from tests.support.cli_standin import Ended, Studio, lab

__all__ = ["lab"]
pytestmark = pytest.mark.usefixtures("lab")

LONG = "nightmedia-qwen3-30b-a3b-thinking-2507-claude-4.5-sonnet-high-reasoning-distill-qx86-hi-mlx"


def entry(name: str, size: int | None) -> dict[str, Any]:
    fields = ("repo_id", "format", "slot", "port", "wanted", "problem")
    return {**dict.fromkeys(fields), "name": name, "size_bytes": size}


LIST = {"models": [entry("small", 10), entry("gone", None), entry(LONG, 900)]}
TABLES = ("status", "verify", "list", "jobs", "hosts", "search", "apply", "doctor")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(studio: Studio, *argv: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of that width shows on both streams."""
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Tty()
    main([*argv], Run(Console(screen, screen), studio))
    return screen.getvalue()


@pytest.mark.parametrize("verb", TABLES)
def test_every_verb_with_a_table_has_the_same_options(verb: str) -> None:
    with root.make_context("mlxops", [verb], resilient_parsing=True) as ctx:
        command = root.get_command(ctx, verb)
    assert command is not None
    assert {"output", "sort", "columns"} <= {param.name for param in command.params}


def test_names_are_one_a_line_and_sorted() -> None:
    assert Ended(Studio(LIST), "list", "-o", "name").out.split() == ["small", "gone", LONG]
    assert Ended(Studio(LIST), "list", "-o", "name", "--sort", "size").out.split() == [
        LONG,
        "small",
        "gone",
    ]
    assert Ended(Studio(LIST), "list", "--sort", "-size", "-o", "name").out.split() == [
        "small",
        LONG,
        "gone",
    ]


def test_json_and_yaml_are_the_same_document() -> None:
    as_json = Ended(Studio(LIST), "list", "-o", "json", "--sort", "NAME").out
    assert as_json == Ended(Studio(LIST), "list", "--json", "--sort", "name").out
    as_yaml = Ended(Studio(LIST), "list", "-o", "yaml", "--sort", "NAME").out
    assert yaml.safe_load(as_yaml) == json.loads(as_json)
    assert json.loads(as_json)["result"]["models"][0]["name"] == "gone"


def test_a_page_has_both_documents_too() -> None:
    page = {"entry": {"name": "a"}, "port": None}
    shown = Ended(Studio(page), "show", "a", "-o", "yaml").out
    assert yaml.safe_load(shown)["result"] == page
    assert json.loads(Ended(Studio(page), "show", "a", "-o", "json").out)["result"] == page


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize("argv", ["list -o {} --bogus", "list --sort x -o {}", "list -o {}"])
def test_an_error_is_in_that_document_too(argv: str, form: str) -> None:
    ended = Ended(Studio(Failed("no", "x")), *argv.format(form).split())
    assert ended.err == "" and yaml.safe_load(ended.out)["ok"] is False


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("list --sort nothing", "no column 'nothing'"),
        ("list --columns name,nothing", "no column 'nothing'"),
        ("list -o name --json", "--json and -o name exclude each other"),
        ("--json list -o wide", "--json and -o wide exclude each other"),
        ("list -o name --columns size", "--columns is for tables"),
        ("list -o table", "'table' is not one of"),
    ],
)
def test_wrong_options_are_refused_before_the_call(argv: str, words: str) -> None:
    studio = Studio()
    ended = Ended(studio, *argv.split())
    assert ended.code == 2 and studio.asked == []
    assert words in ended.err + ended.out


def test_an_unknown_column_is_answered_with_all_of_them() -> None:
    assert "hint: columns: NAME, " in Ended(Studio(), "list", "--sort", "x").err


def test_chosen_columns_come_in_that_order() -> None:
    lines = Ended(Studio(LIST), "list", "--columns", "size, name").out.splitlines()
    assert lines[0].split() == ["SIZE", "NAME"] and lines[1].split() == ["10", "B", "small"]


def test_a_terminal_gets_a_table_that_fits_and_wide_gets_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = shown(Studio(LIST), "list", columns=40, monkeypatch=monkeypatch)
    assert max(map(width, narrow.splitlines())) <= 40 and "hidden: " in narrow
    wide = shown(Studio(LIST), "list", "-o", "wide", columns=40, monkeypatch=monkeypatch)
    assert LONG in wide and "hidden: " not in wide
    assert LONG in Ended(Studio(LIST), "list").out


def test_a_terminal_gets_errors_and_hints_broken_between_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = Failed("the server on 8100 ended " + "again " * 20, "mlxops logs 8100 " + "x " * 40)
    lines = shown(Studio(error), "list", columns=50, monkeypatch=monkeypatch).splitlines()
    assert max(map(width, lines)) <= 50 and len(lines) > 4
    assert all(line.startswith(("  ", "\x1b[31mmlxops")) for line in lines)
    assert len(Ended(Studio(error), "list").err.splitlines()) == 2


def test_what_is_copied_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    line = shown(Studio(), "cron", columns=40, monkeypatch=monkeypatch)
    assert "\n" not in line.rstrip("\n").splitlines()[-1] and "*/5" in line


def test_every_verb_exists() -> None:
    assert set(TABLES) <= set(VERBS)


def test_locks_are_named_if_they_are_held() -> None:
    lock = dict.fromkeys(("who", "from", "since", "why", "phase", "job", "pid"), "x")
    locks = [
        {"lock": "registry", "port": None, "held": False, **lock},
        {"lock": "port", "port": 8100, "held": True, **lock},
    ]
    assert Ended(Studio({"locks": locks}), "jobs", "--locks", "-o", "name").out == "8100\n"
    wide = Ended(Studio({"locks": locks}), "jobs", "--locks", "--columns", "lock,why").out
    assert wide.splitlines() == ["LOCK       WHY", "port 8100  x"]


def test_what_is_asked_about_fits_the_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen = Tty()
    Run(Console(screen, screen), Studio()).preview("stop 8100: " + "declared for it " * 5)
    assert max(map(width, screen.getvalue().splitlines())) <= 40
