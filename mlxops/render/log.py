"""The logs of servers, printed line by line as they arrive."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any

from .format import printable
from .style import Style

# mlx-openai-server writes colours into its log file; escaped, they would hide the words.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
TIME_WIDTH = len("2026-11-28T19:30:01Z")


class LogText:
    """Prints the lines of events, then those of the result.

    `gather`: keep lines that arrive in blocks for the result instead. `several`: a line begins with
    its port. `timestamps`: and then with its time, if that is known."""

    def __init__(
        self,
        say: Callable[[str], None],
        gather: bool = False,
        several: bool = False,
        timestamps: bool = False,
    ) -> None:
        self._say, self._gather = say, gather
        self._several, self._timestamps = several, timestamps
        self._has_followed = False
        self._gathered: dict[Any, list[tuple[Any, Any]]] = {}

    def event(self, event: dict[str, Any]) -> None:
        if "lines" not in event:
            self._has_followed = True
            event = {**event, "lines": [event.get("line", "")], "times": [event.get("at")]}
        elif self._gather:
            self._gathered.setdefault(event.get("port"), []).extend(_pairs(event))
            return
        self._say("\n".join(self._texts(event)))

    def whole(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result, with the gathered lines before its own."""
        if "logs" in result:
            return {**result, "logs": [self._whole_row(row) for row in result["logs"]]}
        return self._whole_row(result)

    def rest(self, result: dict[str, Any], style: Style) -> str:
        """The lines of the result; those of a log that was followed were printed."""
        if self._has_followed:
            return ""
        return "\n".join(chain.from_iterable(map(self._texts, result.get("logs", [result]))))

    def _whole_row(self, row: dict[str, Any]) -> dict[str, Any]:
        before = self._gathered.get(row.get("port"))
        if not before:
            return row
        pairs = [*before, *_pairs(row)]
        return {**row, "lines": [line for line, _ in pairs], "times": [at for _, at in pairs]}

    def _texts(self, row: dict[str, Any]) -> Iterator[str]:
        port = f"{printable(row.get('port'))} | " if self._several else ""
        for line, at in _pairs(row):
            stamp = f"{printable(at or ''):<{TIME_WIDTH}} " if self._timestamps else ""
            yield f"{port}{stamp}{log_line(line)}"


def _pairs(row: dict[str, Any]) -> Iterable[tuple[Any, Any]]:
    """Each line with its time."""
    times = chain(row.get("times") or [], repeat(None))
    return zip(row.get("lines") or [], times, strict=False)


def log_line(line: Any) -> str:
    return printable(COLOUR.sub("", str(line).rstrip("\n").expandtabs()))
