"""A log that is truncated at the worst moment is followed without a torn line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.logs import tail

LONGER = b"after, and it is longer than what was there before\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "8100.log"
    path.write_bytes(b"before\n")
    return path


@pytest.fixture
def followed(log: Path) -> Iterator[tail.FollowedFile]:
    file = tail.FollowedFile(tail.open_log(str(log)), tail.TailStart(0, 0))
    assert file.more("") == ["before"]
    yield file
    file.close()


def rewrite(log: Path) -> None:
    with log.open("r+b") as file:
        file.truncate(0)
        file.write(LONGER)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_truncation_between_the_check_and_the_read(
    log: Path, followed: tail.FollowedFile, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    read = tail.blocks
    if when == "after":
        with log.open("ab") as file:
            file.write(b"unread\n")

    def meanwhile(*args: Any) -> list[tuple[int, bytes]]:
        monkeypatch.undo()
        found = list(read(*args)) if when == "after" else []
        rewrite(log)
        return found or list(read(args[0], args[1], log.stat().st_size))

    monkeypatch.setattr(tail, "blocks", meanwhile)
    lines = followed.more("") + followed.more("")
    assert lines == [*(["unread"] if when == "after" else []), LONGER.decode().rstrip()]
