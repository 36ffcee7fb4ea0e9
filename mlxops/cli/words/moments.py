"""Moments as people write them: 2d, 90m, yesterday, 2026-11-27, 2026-11-27T08:00."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ...agent.wire import values

AGE = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)", re.ASCII)
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_moment(text: str, now: datetime | None = None) -> datetime:
    """The moment; ValueError if it is none. Without a zone it is in the local one."""
    here = now or datetime.now().astimezone()
    word = text.strip().lower()
    today = here.replace(hour=0, minute=0, second=0, microsecond=0)
    if word in ("today", "yesterday"):
        return today - timedelta(days=word == "yesterday")
    if age := AGE.fullmatch(word):
        return here - timedelta(seconds=int(age[1]) * SECONDS[age[2]])
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.astimezone()


class Moment(click.ParamType[str]):
    """A duration such as 10m, which the host counts back by its own clock, or a moment, as the host
    writes it: 2026-11-28T07:00:00Z."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        if values.duration_s(text) is not None:
            return text
        try:
            return f"{parse_moment(text).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a time such as 10m, 2d, yesterday or 2026-11-28T19:30",
                param,
                ctx,
            )
