"""What a look says that the last record did not. Pure."""

from __future__ import annotations

import math
from typing import Any, Dict, Mapping, Optional

Record = Dict[str, Any]
# Keys that change by themselves, such as when a crash was noticed: the reader counts on from the
# last value.
CLOCKS = ("uptime_s", "gone")


def rounded(count: Optional[float], digits: int = 3) -> Optional[float]:
    """A figure as people see it: changes below its third digit are no news."""
    if not count:
        return count
    return round(count, digits - 1 - math.floor(math.log10(abs(count))))


def essence(row: Mapping[str, Any]) -> Record:
    """The part of a port's row whose change is news."""
    known = {key: value for key, value in row.items() if key not in CLOCKS}
    latency = row.get("latency_ms")
    return {
        **known,
        "rss_bytes": rounded(row.get("rss_bytes")),
        # A doubling is news, jitter is not.
        "latency_ms": None if latency is None else round(math.log2(max(1.0, latency))),
    }


class Changes:
    """Compares each look with what was sent."""

    def __init__(self) -> None:
        self._rows: Dict[int, Record] = {}
        self._rest: Record = {}

    def since_last(self, whole: Mapping[str, Any]) -> Record:
        """The parts of `whole` to send: rows that changed, and other keys that did; {} for
        nothing."""
        rows = [row for row in whole["ports"] if self._is_news(row)]
        news: Record = {"ports": rows} if rows else {}
        for key, value in whole.items():
            if key != "ports" and (key not in self._rest or self._rest[key] != _seen(value)):
                self._rest[key] = _seen(value)
                news[key] = value
        return news

    def _is_news(self, row: Mapping[str, Any]) -> bool:
        port, now = row["port"], essence(row)
        known = self._rows.get(port)
        self._rows[port] = now
        return known != now


def _seen(value: Any) -> Any:
    """The value with its byte counts rounded."""
    if not isinstance(value, Mapping):
        return value
    return {key: rounded(one) if key.endswith("_bytes") else one for key, one in value.items()}
