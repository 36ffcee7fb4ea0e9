"""Ids of jobs, whole and short."""

from __future__ import annotations

import pytest

from mlxops.agent.jobs.log import ids_like, short_ids

IDS = ["20261128T101500-8100-4711", "20261128T101400-8101-77", "20261127T101400-8101-99"]


def test_an_id_is_short_unless_another_ends_so() -> None:
    assert list(short_ids(IDS).values()) == ["8100-4711", "8101-77", "8101-99"]
    again = "20261120T101400-8101-77"
    short = short_ids([*IDS, again])
    assert (short[IDS[1]], short[again]) == (IDS[1], again)
    assert short_ids(["odd"]) == {"odd": "odd"}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        (IDS[0], IDS[:1]),
        ("8101-77", [IDS[1]]),
        ("20261127", [IDS[2]]),
        ("20261128T1014", [IDS[1]]),
        ("20261128", IDS[:2]),
        ("8101", []),
        ("101-77", []),
    ],
)
def test_an_id_is_meant_by_its_beginning_or_its_short_form(word: str, meant: list[str]) -> None:
    assert ids_like(IDS, word) == meant
