"""history: who changed what, and when, newest first."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional

from ..clock import utc
from ..context import Context
from ..history.choice import choose, require_known
from ..history.rows import HistoryRow
from ..history.samples import read_samples
from ..history.series import to_series
from ..history.sources import read_history
from ..wire.values import moment_s

DEFAULT_ROWS = 20


def history(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    registry, fault = ctx.store.read_or_empty()
    count = int(args.get("count") or DEFAULT_ROWS)
    choice = choose(ctx, registry, args.get("about") or (), _since(args.get("since")))

    def enough(rows: List[HistoryRow]) -> bool:
        older = bool(rows) and rows[-1].at < choice.since
        return older or sum(map(choice.matches, rows)) > count

    read = read_history(ctx, enough)
    chosen = [row for row in read.rows if choice.matches(row)]
    if not chosen:
        require_known(ctx, registry, choice, read.rows)
    damaged, unreadable = read.damaged, read.unreadable
    series: Dict[str, Any] = {}
    if args.get("samples"):
        samples = read_samples(ctx.site.state_dir)
        series = {"samples": to_series(samples.records, choice.since), "slots": _slots(ctx)}
        damaged, unreadable = damaged + samples.damaged, (*unreadable, samples.unreadable)
    _warn(ctx, damaged, filter(None, unreadable))
    return {
        "changes": [_wire(ctx, row) for row in chosen[:count]],
        "more": len(chosen) > count,
        "whole": read.whole,
        "damaged": read.damaged,
        "registry_error": fault.to_wire() if fault else None,
        **series,
    }


def _since(text: Optional[str]) -> str:
    """The moment in UTC; "" for all of the history."""
    at = moment_s(text) if text else None
    return "" if at is None else utc(at)


def _wire(ctx: Context, row: HistoryRow) -> Dict[str, Any]:
    slot = ctx.site.slot_name(row.port) if row.port is not None else None
    return {**row.to_wire(), "slot_name": slot}


def _slots(ctx: Context) -> Dict[str, Optional[str]]:
    """port -> the name of its slot."""
    return {str(port): ctx.site.slot_name(port) for port in ctx.site.ports}


def _warn(ctx: Context, damaged: int, unreadable: Iterable[str]) -> None:
    for path in unreadable:
        ctx.client.emit("warning", message="cannot read %s: its part is missing" % path)
    if damaged:
        lines = "1 damaged line" if damaged == 1 else "%d damaged lines" % damaged
        ctx.client.emit("warning", message="skipped %s of the history" % lines)
