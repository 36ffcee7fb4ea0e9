"""The log of a server, line by line as it comes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .style import Style
from .words import safe

# mlx-openai-server colours its log, into a file too; as escapes the colours would hide the words.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class LogText:
    """Says each line that comes as an event; the lines of the result only where no event brought them before."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = False

    def event(self, event: dict[str, Any]) -> None:
        self._said = True
        self._say(log_line(event.get("line", "")))

    def rest(self, result: dict[str, Any], style: Style) -> str:
        return "" if self._said else "\n".join(map(log_line, result.get("lines") or []))


def log_line(line: Any) -> str:
    return safe(COLOUR.sub("", str(line).rstrip("\n").expandtabs()))
