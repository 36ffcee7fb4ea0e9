"""A program's own verdict on the words in `args`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from mlxops.agent.errors import Interrupted
from mlxops.agent.programs.dryparse import parse_error

ARGPARSE = """#!%s
import argparse, sys
with open(%r, "a") as journal:
    journal.write("asked\\n")
parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--temp", type=float)
parser.parse_args()
sys.exit("it was started")
"""
HELP = (
    "usage: server [-h] [--port PORT] [--temp TEMP]\n\noptions:\n  -h, --help   show this\n"
    "  --port PORT\n"
)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    program = tmp_path / "server"
    program.write_text(ARGPARSE % (sys.executable, str(tmp_path / "journal")))
    program.chmod(0o755)
    return [str(program)]


def asked(tmp_path: Path) -> int:
    journal = tmp_path / "journal"
    return len(journal.read_text().splitlines()) if journal.exists() else 0


def test_a_value_of_the_wrong_kind_is_refused_in_the_programs_words_and_asked_once(
    tmp_path: Path, words: list[str]
) -> None:
    for _ in range(2):
        assert (
            parse_error(HELP, words, ["--temp=abc"], str(tmp_path))
            == "argument --temp: invalid float value: 'abc'"
        )
        assert parse_error(HELP, words, ["--temp", "0.5"], str(tmp_path)) == ""
    assert asked(tmp_path) == 2


@pytest.mark.parametrize(
    ("help_text", "args"),
    [
        (HELP, []),
        (HELP, ["--temp=abc", "--"]),
        ("Usage: server [OPTIONS]\n\nOptions:\n  --temp FLOAT\n  --help\n", ["--temp=abc"]),
        ("--temp TEMP", ["--temp=abc"]),
        (HELP.replace("-h, --help", "--usage"), ["--temp=abc"]),
    ],
)
def test_nothing_is_tried_that_might_start_a_server(
    tmp_path: Path, words: list[str], help_text: str, args: list[str]
) -> None:
    assert parse_error(help_text, words, args, str(tmp_path)) == "" and asked(tmp_path) == 0


def test_a_program_that_fails_in_another_way_refuses_nothing_and_is_asked_again(
    tmp_path: Path,
) -> None:
    program = tmp_path / "server"
    program.write_text(
        f"#!/bin/sh\necho asked >>{tmp_path}/journal; echo 'server: error: no room'; exit 3\n"
    )
    program.chmod(0o755)
    for _ in range(2):
        assert parse_error(HELP, [str(program)], ["--temp=abc"], str(tmp_path)) == ""
    assert asked(tmp_path) == 2


def test_a_cancel_ends_the_trial(tmp_path: Path) -> None:
    program = tmp_path / "server"
    program.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid; sleep 60\n")
    program.chmod(0o755)
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.3:
            raise Interrupted("cancelled")

    with pytest.raises(Interrupted):
        parse_error(HELP, [str(program)], ["--temp=1"], str(tmp_path), check=check)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
