"""A log's bytes as lines: the same lines, whatever the blocks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.logs import tail as logtail
from mlxops.agent.logs.lines import LineSplitter, after_ends, count_ends
from mlxops.agent.logs.tail import find_tail_start, lines_between, open_log, tail


def fed(*blocks: bytes, max_bytes: int = 1 << 16) -> list[str]:
    split = LineSplitter(max_bytes)
    return [*(line for block in blocks for line in split.feed(block)), *split.end()]


TEXT = "one\ntwö 日本\r\nfast\rfaster\r\n\nlast".encode()
SAID = ["one", "twö 日本", "fast", "faster", "", "last"]


@pytest.mark.parametrize("size", range(1, 12))
def test_the_blocks_do_not_show(size: int) -> None:
    assert fed(*(TEXT[at : at + size] for at in range(0, len(TEXT), size))) == SAID


@given(
    st.lists(
        st.sampled_from([b"a", "ö".encode(), "日".encode(), b"\n", b"\r", b"\r\n", b"\xff", b"\0"])
    ),
    st.data(),
)
def test_any_cut_gives_the_same_lines(parts: list[bytes], data: st.DataObject) -> None:
    content = b"".join(parts)
    cut = data.draw(st.integers(0, len(content)))
    assert fed(content[:cut], content[cut:]) == fed(content)
    assert len(after_ends(content)) == count_ends(content)


def test_a_long_line_is_marked_with_what_is_left_out_and_the_next_one_is_whole() -> None:
    lines = fed(b"x" * 90, b"y" * 30 + b"\nnext\n", max_bytes=100)
    assert lines == ["x" * 90 + "y" * 10 + " [... 20 bytes left out]", "next"]


def test_a_long_line_is_not_cut_within_a_character() -> None:
    (line,) = fed("日".encode() * 50 + b"\n", max_bytes=100)
    assert line == "日" * 33 + " [... 51 bytes left out]"


def test_a_flushed_partial_line_ends_with_a_whole_character_and_is_marked_on_both_sides() -> None:
    split = LineSplitter()
    assert split.feed("half 日".encode()[:-1]) == [] and split.has_partial_line
    assert split.flush_partial() == ["half  [...]"] and split.flush_partial() == []
    assert split.feed("日".encode()[-1:] + b" whole\nnext\n") == ["[...] 日 whole", "next"]


def test_the_nuls_of_a_hole_are_no_text() -> None:
    assert fed(b"\0" * 1000 + b"after\n") == ["after"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "8100.log"


@given(
    content=st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n"])).map(b"".join),
    lines=st.integers(0, 9),
)
def test_the_last_lines_are_those_of_all_lines(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, lines: int
):
    log = tmp_path_factory.mktemp("log") / "x.log"
    log.write_bytes(content)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(logtail, "BLOCK", 3)
        assert tail(str(log), lines) == (fed(content)[-lines:] if lines else [])


def test_a_million_lines_are_given(log: Path) -> None:
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(1_000_000)))
    fd = open_log(str(log))
    try:
        begun = find_tail_start(fd, 10_000_000, log.stat().st_size)
        assert (begun.offset, begun.found, begun.torn) == (0, 1_000_000, False)
        given = [line for some in lines_between(fd, begun, log.stat().st_size) for line in some]
    finally:
        os.close(fd)
    assert (given[0], given[-1], len(given)) == ("line 0", "line 999999", 1_000_000)


def test_of_a_huge_log_only_the_end_is_read(log: Path) -> None:
    """A file of 10 GB, nearly all of it a hole, with a line of one gigabyte."""
    with log.open("wb") as file:
        file.truncate(10 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\none\ntwo\n")
    assert tail(str(log), 2) == ["one", "two"]
    lines = tail(str(log), 5)
    assert lines[1:] == ["one", "two"] and len(lines) == 3 and lines[0].startswith("[...] ")
    assert len(lines[0]) < 100


def test_what_is_not_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert (
        tail(str(tmp_path / "pipe"), 5)
        == tail(str(tmp_path / "none"), 5)
        == tail(str(tmp_path), 5)
        == []
    )
