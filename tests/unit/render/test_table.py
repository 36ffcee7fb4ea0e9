"""Tables that fit the terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlxops.render.style import Style
from mlxops.render.table import Column, sort_rows, table
from mlxops.render.width import width

LONG = "nightmedia/Qwen3-30B-A3B-Thinking-2507-Claude-4.5-Sonnet-High-Reasoning-Distill-qx86-hi-mlx"
COLUMNS = (
    Column(name="PORT", text=lambda r, _: r["port"], key=lambda r: int(r["port"]), keep=True),
    Column(name="MODEL", text=lambda r, _: r["model"], keep=True, shorten=12),
    Column(name="STATE", text=lambda r, style: style.state(r["state"]), keep=True),
    Column(name="SIZE", text=lambda r, _: r["size"], weight=2, right=True),
    Column(name="NOTE", text=lambda r, _: r["note"], weight=1),
)


def row(port: int, model: str = "a", **more: Any) -> dict[str, Any]:
    return {"port": str(port), "model": model, "state": "ready", "size": "1.5 GB", **more}


def rows(*models: str, note: str = "as planned") -> list[dict[str, Any]]:
    return [row(8100 + at, model, note=note) for at, model in enumerate(models)]


def drawn(text: str) -> list[str]:
    return re.sub(r"\x1b\[\d+m", "", text).splitlines()


def test_a_pipe_gets_everything_in_full() -> None:
    lines = table(COLUMNS, rows(LONG, "b"), Style()).splitlines()
    assert lines[0].split() == ["PORT", "MODEL", "STATE", "SIZE", "NOTE"]
    assert lines[1].split()[:3] == ["8100", LONG, "ready"] and len(lines) == 3


def test_the_widest_column_is_shortened_before_any_is_hidden() -> None:
    lines = table(COLUMNS, rows(LONG, "b"), Style(width=60)).splitlines()
    assert lines[0].split() == ["PORT", "MODEL", "STATE", "SIZE", "NOTE"]
    assert "…" in lines[1] and max(map(len, lines)) == 60 and len(lines) == 3


def test_then_the_least_important_column_is_hidden_and_named() -> None:
    lines = table(COLUMNS, rows(LONG, "b"), Style(width=40)).splitlines()
    assert lines[0].split() == ["PORT", "MODEL", "STATE", "SIZE"]
    assert lines[-1] == "hidden: NOTE (-o wide)"
    lines = table(COLUMNS, rows(LONG, "b"), Style(width=28)).splitlines()
    assert lines[0].split() == ["PORT", "MODEL", "STATE"]
    assert lines[-1] == "hidden: SIZE, NOTE (-o wide)"


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("wide", range(26, 140))
def test_port_model_and_state_stay_and_nothing_folds(wide: int, colour: bool) -> None:
    names = [LONG, LONG.replace("qx86", "qx64"), "模型" * 30, "b"]
    text = table(COLUMNS, rows(*names), Style(colour=colour, width=wide))
    lines = drawn(text)
    assert max(map(width, lines)) <= max(wide, 30), text
    assert lines[0].split()[:3] == ["PORT", "MODEL", "STATE"]
    assert len({line.split()[1] for line in lines[1:5]}) == 4
    assert [line.split()[2] for line in lines[1:5]] == ["ready"] * 4


def test_a_column_of_dashes_is_hidden_before_one_that_says_something() -> None:
    empty = [{**one, "size": "-"} for one in rows(LONG)]
    lines = table(COLUMNS, empty, Style(width=42)).splitlines()
    assert lines[0].split() == ["PORT", "MODEL", "STATE", "NOTE"]
    assert lines[-1] == "hidden: SIZE (-o wide)"


def test_wide_characters_take_two_columns() -> None:
    lines = table(COLUMNS, rows("模型", "abcd"), Style()).splitlines()
    assert width(lines[1][: lines[1].index("ready")]) == width(lines[2][: lines[2].index("ready")])


def test_colour_does_not_push_columns_apart() -> None:
    listed = rows("a", "bcd")
    coloured = table(COLUMNS, listed, Style(colour=True))
    assert "\x1b" in coloured
    assert drawn(coloured) == table(COLUMNS, listed, Style()).splitlines()


def test_chosen_columns_are_shown_in_their_order_and_all_of_them() -> None:
    style = Style(width=30, columns=("NOTE", "MODEL"))
    lines = table(COLUMNS, rows(LONG), style).splitlines()
    assert lines[0].split() == ["NOTE", "MODEL"] and "…" in lines[1] and len(lines) == 2


def test_a_wrapping_column_takes_several_lines() -> None:
    columns = (COLUMNS[0], Column(name="NOTE", text=lambda r, _: r["note"], shorten=8, wrap=True))
    lines = table(columns, rows("a", note="it is as planned"), Style(width=18)).splitlines()
    assert lines == ["PORT  NOTE", "8100  it is as", "      planned"]


def test_cells_stay_what_they_are() -> None:
    line = table(COLUMNS, [row(7, "1e5", note="007")], Style()).splitlines()[1]
    assert line.split() == ["7", "1e5", "ready", "1.5", "GB", "007"]


def test_no_rows_leave_the_names_of_the_columns() -> None:
    assert table(COLUMNS, [], Style()) == "PORT  MODEL  STATE  SIZE  NOTE"


def test_rows_are_sorted_with_the_unknown_last() -> None:
    size = Column(name="SIZE", text=lambda r, _: "", key=lambda r: r["bytes"], largest=True)
    listed = [{"bytes": 2}, {"bytes": None}, {"bytes": 30}]
    assert [one["bytes"] for one in sort_rows(listed, size, reverse=False)] == [30, 2, None]
    assert [one["bytes"] for one in sort_rows(listed, size, reverse=True)] == [2, 30, None]
    models = [{"model": name} for name in ("b", "-", "A", "c")]
    by_text = sort_rows(models, COLUMNS[1], reverse=False)
    assert [one["model"] for one in by_text] == ["A", "b", "c", "-"]


def test_a_name_in_two_columns_is_shortened_alike() -> None:
    now = Column(name="NOW", text=lambda r, _: r["model"], shorten=12)
    then = Column(name="THEN", text=lambda r, _: r["model"], shorten=12)
    for room in range(40, 70):
        line = table((now, then), rows(LONG), Style(width=room)).splitlines()[1]
        one, other = line.split()
        assert one == other and "…" in one
