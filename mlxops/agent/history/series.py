"""Samples as one series per port, thinned to what a chart can show. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..clock import epoch
from .edit import text_or_none
from .samples import number

MAX_POINTS = 150
MAX_PORTS = 64

# at (seconds since the epoch), entry, memory in bytes, requests since the server's start. All but
# the moment are None from when the port has no server.
Point = Tuple[int, Optional[str], Optional[int], Optional[int]]


def to_series(samples: Sequence[Mapping[str, Any]], since: str) -> Dict[str, Any]:
    """{"ports": {port: [Point, …]}, "machine": [[at, total_bytes, available_bytes], …]}."""
    kept = [sample for sample in samples if sample["at"] >= since]
    points: Dict[str, List[Point]] = {}
    machine: List[List[Any]] = []
    for sample in kept:
        at = int(epoch(sample["at"]) or 0)
        rows = sample["ports"]
        for port, row in rows.items():
            if isinstance(row, dict) and (port in points or len(points) < MAX_PORTS):
                figures = (number(row.get("memory_bytes")), number(row.get("requests")))
                points.setdefault(str(port), []).append(
                    (at, text_or_none(row.get("entry")), *figures)
                )
        if sample.get("whole") is True:
            _end_others(points, rows, at)
        total, available = (number(sample.get(k)) for k in ("total_bytes", "available_bytes"))
        if total is not None and available is not None:
            machine.append([at, total, available])
    return {
        "ports": {port: _thinned(series) for port, series in points.items() if port.isdigit()},
        "machine": machine[:: max(1, len(machine) // MAX_POINTS)],
    }


def _end_others(points: Dict[str, List[Point]], rows: Mapping[str, Any], at: int) -> None:
    for port, series in points.items():
        if port not in rows and series[-1][2] is not None:
            series.append((at, None, None, None))


def _thinned(series: List[Point]) -> List[Point]:
    """Of each stretch of time the point of most memory; the ends of servers all stay."""
    if len(series) <= MAX_POINTS:
        return series
    width = max(1, (series[-1][0] - series[0][0]) // MAX_POINTS)
    kept: List[Point] = []
    for point in series:
        same = kept and kept[-1][0] // width == point[0] // width and kept[-1][1] == point[1]
        if not same or point[2] is None or kept[-1][2] is None:
            kept.append(point)
        elif point[2] >= kept[-1][2]:
            kept[-1] = point
    return kept[-2 * MAX_POINTS :]
