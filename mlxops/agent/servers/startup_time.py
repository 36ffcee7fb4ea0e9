"""Estimate the time to start a model from earlier starts, which are kept with its entry. Pure."""

from __future__ import annotations

import math
from typing import Any, List, NamedTuple, Optional

from ..registry.entries import Entry
from ..runtimes.table import Runtime

MAX_RECORDED_STARTS = 5
# The disk limits loading: 120 GB have taken 180 to 900 s. 5 s per GB is slower than any Mac's own
# disk.
FIRST_START_S, SLOWEST_S_PER_GB = 300.0, 5.0
# A start from the page cache is much faster than the next one from the disk.
MIN_TIMEOUT_S, TIMES_SLOWEST_START = 60.0, 3.0
# Fraction of the runtime's own limit.
WARN_FROM_FRACTION = 0.8


class StartupEstimate(NamedTuple):
    """Seconds a start may take. `expected_s`: the median of earlier starts; None before the
    first."""

    expected_s: Optional[float]
    timeout_s: float


def estimate_startup(
    entry: Optional[Entry], runtime: Runtime, weights: Optional[int], bytes_per_s: Optional[float]
) -> StartupEstimate:
    """The estimate from earlier starts, else from the size of the weights and the speed of the
    disk, if known."""
    past = sorted(_past(entry, runtime))
    size_s = (weights or 0) / 1e9 * SLOWEST_S_PER_GB
    if bytes_per_s:
        # The data may have come from the page cache, so a reading can only show that a disk is
        # slower than assumed.
        size_s = max(size_s, (weights or 0) / bytes_per_s * 2)
    if not past:
        return StartupEstimate(None, FIRST_START_S + size_s)
    return StartupEstimate(
        past[len(past) // 2], max(MIN_TIMEOUT_S, size_s, past[-1] * TIMES_SLOWEST_START)
    )


def record_start(entry: Entry, runtime: Runtime, seconds: float) -> Entry:
    """The entry with one more start on record; the oldest is dropped."""
    times_by_runtime = entry.fields.get("start_s")
    others = times_by_runtime if isinstance(times_by_runtime, dict) else {}
    return entry.with_fields(
        start_s={
            **others,
            runtime.name: [*_past(entry, runtime), round(seconds, 2)][-MAX_RECORDED_STARTS:],
        }
    )


def abort_warning(
    runtime: Runtime, usual: StartupEstimate, weights: Optional[int], bytes_per_s: Optional[float]
) -> str:
    """A warning if the runtime may abort a start before it is ready; else ""."""
    by_disk = weights / bytes_per_s if weights and bytes_per_s else 0.0
    likely = max(usual.expected_s or 0.0, by_disk)
    if runtime.gives_up_s is None or likely < runtime.gives_up_s * WARN_FROM_FRACTION:
        return ""
    text = "this start may take %.0f s, but %s aborts a start after %.0f s"
    return text % (likely, runtime.name, runtime.gives_up_s)


def last_start_s(entry: Optional[Entry], runtime: Runtime) -> Optional[float]:
    """Seconds of the last start that is on record."""
    past = _past(entry, runtime)
    return past[-1] if past else None


def _past(entry: Optional[Entry], runtime: Runtime) -> List[float]:
    """Seconds of earlier starts, the newest last; invalid values are ignored."""
    times_by_runtime: Any = entry.fields.get("start_s") if entry else None
    times = times_by_runtime.get(runtime.name) if isinstance(times_by_runtime, dict) else None
    return (
        [float(s) for s in times if _is_seconds(s)][-MAX_RECORDED_STARTS:]
        if isinstance(times, list)
        else []
    )


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e6 and math.isfinite(value)
