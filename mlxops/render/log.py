"""The log of a server, printed line by line as it arrives."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .format import printable
from .style import Style

# mlx-openai-server writes colours into its log file; escaped, they would hide the words.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class LogText:
    """Prints the lines of events, then those of the result, if no event brought them.

    `gather`: keep lines that arrive in blocks for the result instead."""

    def __init__(self, say: Callable[[str], None], gather: bool = False) -> None:
        self._say, self._gather = say, gather
        self._has_printed = False
        self._gathered: list[str] = []

    def event(self, event: dict[str, Any]) -> None:
        if "lines" not in event:
            self._has_printed = True
            self._say(log_line(event.get("line", "")))
        elif self._gather:
            self._gathered += event["lines"]
        else:
            self._say("\n".join(map(log_line, event["lines"])))

    def whole(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result, with the gathered lines before its own."""
        return (
            {**result, "lines": [*self._gathered, *(result.get("lines") or [])]}
            if self._gathered
            else result
        )

    def rest(self, result: dict[str, Any], style: Style) -> str:
        return "" if self._has_printed else "\n".join(map(log_line, result.get("lines") or []))


def log_line(line: Any) -> str:
    return printable(COLOUR.sub("", str(line).rstrip("\n").expandtabs()))
