"""Files of one object per line: appended to, replaced when full, read from the end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.line_file import append, older, read_newest


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "file.jsonl")


def numbers(path: str, max_bytes: int = 1 << 20) -> list[Any]:
    return [record["n"] for record in read_newest(path, max_bytes).records]


def test_a_full_file_is_replaced_and_one_older_one_is_kept(path: str) -> None:
    for n in range(100):
        assert append(path, {"n": n}, max_bytes=200)
    assert os.path.getsize(older(path)) < 300 and numbers(path)[-1] == 99
    kept = numbers(path)
    assert kept == list(range(kept[0], 100)) and 10 < len(kept) < 60


def test_a_bounded_read_is_the_newest_part_and_says_so(path: str) -> None:
    for n in range(1000):
        append(path, {"n": n}, max_bytes=1 << 20)
    part = read_newest(path, 500)
    assert not part.whole and part.damaged == 0
    assert [r["n"] for r in part.records] == list(range(1000 - len(part.records), 1000))
    assert 30 < len(part.records) < 60 and read_newest(path, 1 << 20).whole


def test_damaged_lines_are_counted_and_a_cut_one_does_not_spoil_the_next(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b'{"n": 1}\n[1]\nnot json\n\xff\xfe\n\n{"n": 2}\n{"n": 3, "cut')
    append(path, {"n": 4}, max_bytes=1 << 20)
    read = read_newest(path, 1 << 20)
    assert [r["n"] for r in read.records] == [1, 2, 4] and read.damaged == 4


def test_what_cannot_be_read_is_named_and_what_cannot_be_written_fails_nothing(path: str) -> None:
    assert read_newest(path, 100).unreadable == ""
    os.mkdir(path)
    assert read_newest(path, 100).unreadable == path
    assert not append(path, {"n": 1}, 100)
    link = path + ".link"
    os.symlink(path + ".target", link)
    assert not append(link, {"n": 1}, 100) and not os.path.exists(path + ".target")


def test_a_pipe_does_not_block(path: str) -> None:
    os.mkfifo(path)
    assert read_newest(path, 100).records == []
    append(path, {"n": 1}, 100)


def test_deeply_nested_lines_are_damage(path: str) -> None:
    Path(path).write_text("[" * 100_000 + "\n" + json.dumps({"n": 1}) + "\n")
    read = read_newest(path, 1 << 20)
    assert len(read.records) == 1 and read.damaged == 1
