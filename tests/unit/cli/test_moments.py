"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from mlxops.cli.words.moments import Moment, parse_moment

HERE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 28, 7, 30, 15, tzinfo=HERE)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", datetime(2026, 11, 28, 6, 0, 15, tzinfo=HERE)),
        ("2d", datetime(2026, 11, 26, 7, 30, 15, tzinfo=HERE)),
        ("1 w", datetime(2026, 11, 21, 7, 30, 15, tzinfo=HERE)),
        ("today", datetime(2026, 11, 28, tzinfo=HERE)),
        ("Yesterday", datetime(2026, 11, 27, tzinfo=HERE)),
        ("2026-11-27T08:00:00Z", datetime(2026, 11, 27, 8, tzinfo=UTC)),
        ("2026-11-27T08:00+02:00", datetime(2026, 11, 27, 6, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


def test_a_date_is_a_day_of_this_place() -> None:
    assert parse_moment("2026-11-27") == datetime(2026, 11, 27).astimezone()


@pytest.mark.parametrize("text", ["", "soon", "2x", "99999999999d", "2026-13-01", "999999w"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="is not a time such as"):
        Moment().convert(text, None, None)
