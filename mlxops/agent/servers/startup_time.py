"""How long a model's starts took, kept with its entry, and what follows for the next one. Pure."""

from __future__ import annotations

import math
from typing import Any, List, NamedTuple, Optional

from ..registry.entries import Entry
from ..runtimes.table import Runtime

MAX_RECORDED_STARTS = 5
# Loading is bound by the disk: 120 GB have been seen to take 180 to 900 s. 5 s per GB is slower
# than any Mac's own.
FIRST_START_S, SLOWEST_S_PER_GB = 300.0, 5.0
# What is in the page cache comes back much faster than the next start may get it from the disk.
MIN_TIMEOUT_S, TIMES_SLOWEST_START = 60.0, 3.0
# Of the limit that a runtime sets itself.
WARN_FROM_FRACTION = 0.8


class StartupEstimate(NamedTuple):
    """What a start may take, in seconds. `expected_s`: as it usually took; None before the first
    one."""

    expected_s: Optional[float]
    timeout_s: float


def estimate_startup(
    entry: Optional[Entry], runtime: Runtime, weights: Optional[int], bytes_per_s: Optional[float]
) -> StartupEstimate:
    """By the starts on record, else by the size of the weights and the disk they are on, where its
    speed is known."""
    past = sorted(_past(entry, runtime))
    size_s = (weights or 0) / 1e9 * SLOWEST_S_PER_GB
    if bytes_per_s:
        # A reading may have come from the page cache, so that it can only show a disk to be slower
        # than thought.
        size_s = max(size_s, (weights or 0) / bytes_per_s * 2)
    if not past:
        return StartupEstimate(None, FIRST_START_S + size_s)
    return StartupEstimate(
        past[len(past) // 2], max(MIN_TIMEOUT_S, size_s, past[-1] * TIMES_SLOWEST_START)
    )


def record_start(entry: Entry, runtime: Runtime, seconds: float) -> Entry:
    """The entry with one more start on record, the oldest forgotten."""
    kept = entry.fields.get("start_s")
    others = kept if isinstance(kept, dict) else {}
    return entry.with_fields(
        start_s={
            **others,
            runtime.name: [*_past(entry, runtime), round(seconds, 2)][-MAX_RECORDED_STARTS:],
        }
    )


def abort_warning(
    runtime: Runtime, usual: StartupEstimate, weights: Optional[int], bytes_per_s: Optional[float]
) -> str:
    """A warning where the runtime itself may end a start before it is done; else ""."""
    by_disk = weights / bytes_per_s if weights and bytes_per_s else 0.0
    likely = max(usual.expected_s or 0.0, by_disk)
    if runtime.gives_up_s is None or likely < runtime.gives_up_s * WARN_FROM_FRACTION:
        return ""
    text = "this start may take %.0f s, but %s aborts a start after %.0f s"
    return text % (likely, runtime.name, runtime.gives_up_s)


def _past(entry: Optional[Entry], runtime: Runtime) -> List[float]:
    """Seconds of earlier starts, the newest last; whatever else a hand wrote there counts for
    nothing."""
    kept: Any = entry.fields.get("start_s") if entry else None
    found = kept.get(runtime.name) if isinstance(kept, dict) else None
    return (
        [float(s) for s in found if _is_seconds(s)][-MAX_RECORDED_STARTS:]
        if isinstance(found, list)
        else []
    )


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e6 and math.isfinite(value)
