"""The README and the pages of docs: their commands parse, their links and paths lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from mlxops.cli.root import GROUPS, HIDDEN, VERBS, root
from mlxops.cli.words.verbs import without_aliases
from tests.support.sources import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
COMMAND = re.compile(r"(?:^|[\s(/])(?:mlxops|mlxctl) (?=[\w\[-])(.+)")
# What ends a command line: a comment, a pipe, a second command, a redirection.
END = re.compile(r"\s#|\s\||[;)]|\s&&|\s>|,\s")
PATH = re.compile(r"(?:mlxops|tests|docs|hosts|\.ci)/[\w./-]+")
MODULE = re.compile(r"python -m (tests(?:\.\w+)+)")
MAX_COLUMNS = 120


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def spans(page: Path) -> list[str]:
    return [text.replace("\\|", "|") for text in SPAN.findall(prose(page))]


def commands(page: Path) -> Iterator[str]:
    """The words after `mlxops`, of each command line of a page."""
    blocks = FENCE.findall(page.read_text("utf-8"))
    for line in [*(line for block in blocks for line in block.splitlines()), *spans(page)]:
        for found in COMMAND.findall(line):
            yield END.split(found)[0]
    for span in spans(page):
        if span.split()[0] in VERBS:
            yield span


def parse(command: click.Command, words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Split the words into options and arguments, as click does, without checking any value: the
    pages write NAME and PORT. click.UsageError for an unknown option."""
    with click.Context(command) as ctx:
        parser = command.make_parser(ctx)
        parser.allow_interspersed_args = not isinstance(command, click.Group)
        options, arguments, _ = parser.parse_args(args=[*words])
    return options, arguments


def check(text: str) -> str | None:
    """What is wrong with a command, None if it parses."""
    words = [word.strip("[]") for word in shlex.split(text.replace("…", ""))]
    try:
        _, rest = parse(root, [word for word in words if word not in ("--version", "-V")])
        if not rest or rest[0] == "help":
            return None
        rest = without_aliases(rest)
        if rest[0] not in (*VERBS, *HIDDEN):
            return f"no verb {rest[0]!r}"
        command = root.get_command(click.Context(root), rest[0])
        assert command is not None
        parse(command, rest[1:])
    except click.BadOptionUsage:
        return None  # a page may name an option without its value
    except click.UsageError as exc:
        return exc.format_message()
    return None


def table() -> list[tuple[str, str]]:
    """(group, verb) for each verb of the README's table."""
    text = (
        (ROOT / "README.md").read_text("utf-8").partition("## Verbs")[2].partition("\n\n| exit")[0]
    )
    rows, group = [], ""
    for line in text.splitlines():
        if heading := re.match(r"\| \*\*(.+)\*\* \|", line):
            group = heading[1]
        elif line.startswith("| `"):
            rows += [(group, span.split()[0]) for span in SPAN.findall(line.split(" | ")[0])]
    return rows


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_table_of_verbs_is_in_the_groups_of_the_help() -> None:
    assert table() == [(group, verb) for group, verbs in GROUPS.items() for verb in verbs]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_parse(page: Path) -> None:
    wrong = {text: why for text in commands(page) if (why := check(text))}
    assert wrong == {}


def test_commands_are_found() -> None:
    found = {text for page in PAGES for text in commands(page)}
    assert {"unload 8100", "cron install", "status --deep"} <= found
    assert check("xload x") == "no verb 'xload'"
    assert "No such option" in (check("status --depp") or "")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if path.startswith("http"):
            continue
        anchors = (
            [slug(text) for text in HEADING.findall(prose(target))] if target.is_file() else []
        )
        if not target.exists() or (anchor and anchor not in anchors):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_and_modules_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    modules = [ROOT / name.replace(".", "/") for name in MODULE.findall(text) if "NAME" not in name]
    paths = [ROOT / span for span in spans(page) if PATH.fullmatch(span)]
    wrong = [path for path in paths if not path.exists()]
    wrong += [path for path in modules if not (path.is_dir() or path.with_suffix(".py").is_file())]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_are_not_too_long(page: Path) -> None:
    lines = [line for line in prose(page).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > MAX_COLUMNS and " " in line.strip()] == []
