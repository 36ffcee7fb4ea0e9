"""Text in a page: escaped, because names and messages may come from anywhere."""

from __future__ import annotations

import html
from datetime import datetime
from typing import Any

from ..format import DASH, printable

MAX_TEXT = 300


def esc(value: Any, longest: int = MAX_TEXT) -> str:
    """A value as text and as the value of a quoted attribute."""
    text = DASH if value is None or value == "" else printable(str(value)[: longest + 1])
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return html.escape(cut, quote=True)


def moment(at: float, form: str = "%d %b %H:%M") -> str:
    """A time of day in the local zone."""
    return datetime.fromtimestamp(at).astimezone().strftime(form)


def zone() -> str:
    offset = datetime.now().astimezone().strftime("%z")
    return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"
