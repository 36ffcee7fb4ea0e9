"""The text of the live view: what it shows of one host."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..agent.errors import MlxopsError
from ..render.format import ago, cell, duration, printable, size
from ..render.status import WATCH, memory_line, status_problems
from ..render.style import Style
from ..render.table import Row, table
from ..render.width import cut, width

BAR_WIDTH = 20


def port_table(rows: Sequence[Row], style: Style) -> list[str]:
    return table(WATCH, rows, style).splitlines()


def header(name: str, target: str, link: str, style: Style) -> str:
    """The host at the left, its link at the right."""
    room = style.width or 80
    left = f"{name}  {target}" if target and target != name else name
    right = cut(link, max(10, room - width(name) - 2))
    left = cut(left, max(width(name), room - width(right) - 2))
    return f"{left}{' ' * max(2, room - width(left) - width(right))}{right}"


def updated(age_s: float | None, usual_s: float) -> str:
    """The link of a host that reports."""
    if age_s is None:
        return "connecting"
    late = age_s > 2 * usual_s + 3
    return f"no update for {_whole(age_s)}" if late else f"updated {_whole(age_s)} ago"


def lost(age_s: float, retry_s: float) -> str:
    """The link of a host that is tried again."""
    soon = f", next try in {int(retry_s) + 1} s" if retry_s >= 1 else ""
    return f"link lost {_whole(age_s)} ago, reconnecting{soon}"


def _whole(seconds: float) -> str:
    """A duration that counts by whole seconds."""
    return f"{int(seconds)} s" if seconds < 60 else duration(seconds)


def why_lost(error: MlxopsError, final: bool) -> list[str]:
    """Why there is no link, and what to do about it."""
    lines = [f"  {printable(error.message)}"]
    lines += [f"  hint: {printable(error.hint)}"] if error.hint and final else []
    return [*lines, "  R tries again"] if final else lines


def memory_bar(figures: dict[str, Any] | None) -> str:
    """[########....] 312 GiB of 512 GiB used, 200 GiB available"""
    known = figures or {}
    total, available = known.get("total_bytes"), known.get("available_bytes")
    if not total or available is None:
        return memory_line(figures)
    used = max(0, total - available)
    filled = min(BAR_WIDTH, round(BAR_WIDTH * used / total))
    wired = known.get("wired_limit_bytes")
    limit = f", wired limit {size(wired)}" if wired is not None else ""
    bar = f"[{'#' * filled:.<{BAR_WIDTH}}]"
    return f"memory {bar} {size(used)} of {size(total)} used, {size(available)} available{limit}"


def problem_lines(result: dict[str, Any], style: Style) -> list[str]:
    """Drift, broken servers, warnings and an unreadable registry, each with its next command."""
    error = result.get("error") or {}
    lines = [style.wrong(f"registry: {printable(error.get('message'))}")] if error else []
    lines += [f"  next: {printable(error['hint'])}"] if error.get("hint") else []
    warnings = [f"warning: {printable(text)}" for text in result.get("warnings") or []]
    return [*lines, *status_problems(result, style).splitlines(), *warnings]


def event_lines(
    events: Sequence[dict[str, Any]] | None, style: Style, now: Callable[[], float] = time.time
) -> list[str]:
    """One line per job that ended, and the next command of one that failed."""
    lines = []
    for event in events or ():
        state = cell(event.get("state"))
        paint = style.faint if state in ("done", "cancelled") else style.wrong
        by = f" by {printable(event['who'])}" if event.get("who") else ""
        when = ago(event.get("ended") or event.get("since"), now)
        message = f": {printable(event['message'])}" if event.get("message") else ""
        lines.append(paint(f"{when:>10}  {cell(event.get('why'))}{by}: {state}{message}"))
        if event.get("next") and state not in ("done", "cancelled"):
            lines.append(f"{'':>10}  next: {printable(event['next'])}")
    return lines


HELP = (
    "up, down, j, k   select a port          PgUp, PgDn, Home, End too",
    "enter, d         details of the port",
    "l                its log",
    "L                load a model there     asks for the model",
    "u                unload it              asks first",
    "r                restart it             asks first",
    "c                cancel its job         asks first",
    "a                apply                  shows the plan and asks",
    "R                connect again at once",
    "?                this help",
    "q                quit",
)
KEYS = "l logs  L load  u unload  r restart  c cancel  a apply  d show  ? help  q quit"
