"""What apply would do: a row per port, the reasons, memory, and the sum."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import Any

from .format import cell, counted, file_size, printable, size
from .style import Style
from .table import Column, Listing, Row, table
from .width import shorten

STEPS = ("swap", "load", "restart", "download", "unload")


def plan_text(plan: dict[str, Any], style: Style, command: str) -> str:
    """The table of ports, a line per port that needs one, memory and the sum. `command`: the apply
    of this plan, the next command; "" in front of a question."""
    lines = [table(COLUMNS, plan["rows"], style), "", *details(plan["rows"], style)]
    return "\n".join([*lines, *_memory_lines(plan, style), *_sum_lines(plan, style, command)])


def quiet_plan_text(plan: dict[str, Any], style: Style, command: str) -> str:
    """The same for the ports that would change or are blocked; empty if there is none."""
    rows = [row for row in plan["rows"] if row["verdict"] in (*STEPS, "blocked")]
    return plan_text({**plan, "rows": rows}, style, command) if rows else ""


def is_due(row: Row) -> bool:
    """Whether apply would change the port."""
    return row["verdict"] in STEPS


def _now(row: Row) -> Any:
    """The model that serves, with the state if it is not ready; without one, what is there."""
    state = row.get("state")
    if row.get("live"):
        return row["live"] if state == "ready" else f"{row['live']} ({state})"
    return None if state == "free" else row.get("drift") or state


def _then(row: Row) -> Any:
    """The model that the port is meant to serve; that it keeps, if none is."""
    if row["verdict"] == "unload":
        return None
    return row.get("entry") or row.get("declared") or row.get("live")


COLUMNS = (
    Column(name="PORT", text=lambda r, _: cell(r["port"]), key=lambda r: r["port"], keep=True),
    Column(name="SLOT", text=lambda r, _: cell(r.get("slot_name")), weight=1, shorten=9),
    Column(name="NOW", text=lambda r, _: cell(_now(r)), weight=2, shorten=16),
    Column(name="THEN", text=lambda r, _: cell(_then(r)), keep=True, shorten=16),
    Column(name="STEP", text=lambda r, style: style.step(cell(r["verdict"])), keep=True),
)
LISTING = Listing("rows", COLUMNS, itemgetter("port"))


def details(rows: list[Row], style: Style) -> list[str]:
    """Per row that the table does not explain, a line, and for a blocked port the next command."""
    lines = []
    for row in rows:
        facts = _facts(row)
        if facts:
            step = cell(row["verdict"])
            lines.append(f"{style.step(step)} {cell(row['port'])}: {'; '.join(facts)}")
        if row["verdict"] == "blocked" and row.get("hint"):
            lines.append(f"  next: {printable(row['hint'])}")
    return lines


def _facts(row: Row) -> list[str]:
    """What is to be known of a step: why, and what it waits for."""
    reason = printable(row["reason"]) if row.get("reason") else ""
    facts = [reason] if reason and _is_explained(row) else []
    if row.get("unload_first"):
        facts.append("unloaded first")
    if row.get("after"):
        facts.append(f"waits for {', '.join(map(str, row['after']))}")
    return facts


def _is_explained(row: Row) -> bool:
    """Whether the reason says more than the table."""
    if row["verdict"] in ("same", "leave", "load"):
        return bool(row.get("drift"))
    return True


def _memory_lines(plan: dict[str, Any], style: Style) -> list[str]:
    memory = plan.get("memory") or {}
    if memory.get("fits") is False:
        return memory_sum(plan, style)
    now, peak, most = (memory.get(key) for key in ("now_bytes", "peak_bytes", "most_bytes"))
    on_the_way = f", at most {size(peak)} on the way" if plan["changes"] else ""
    limit = "limit unknown" if most is None else f"of {size(most)}"
    return [f"memory: {size(now)} in use{on_the_way}, {limit}"]


def memory_sum(plan: dict[str, Any], style: Style) -> list[str]:
    """Why the models do not fit together, a line per port."""
    memory, rows = plan["memory"], plan["rows"]
    by_port = memory.get("ports") or {
        str(row["port"]): row.get("need_bytes") for row in rows if row["verdict"] != "unload"
    }
    models = {str(row["port"]): _then(row) for row in rows}
    room = (style.width or 80) - 32
    lines = [
        f"  {port:<5}  {shorten(cell(models.get(port)), room):<{room}}  {size(count):>10}"
        for port, count in by_port.items()
        if count
    ]
    total, most = memory.get("peak_bytes"), memory.get("most_bytes")
    lines += [
        f"  {'together':<{room + 7}}  {size(total):>10}",
        f"  {'available to model servers':<{room + 7}}  {size(most):>10}",
    ]
    return [style.wrong("does not fit") + ": nothing would be changed", *lines]


def _sum_lines(plan: dict[str, Any], style: Style, command: str) -> list[str]:
    lines = [summary(plan)]
    if (plan.get("memory") or {}).get("fits") is False:
        helpless = "--evict" in command or any(row["kind"] == "TooBig" for row in plan["rows"])
        less = "" if helpless else f", or unload others for them: {command} --evict"
        return [*lines, f"next: name fewer ports{less}"]
    return [*lines, f"next: {command}"] if command and plan["changes"] else lines


def summary(plan: dict[str, Any]) -> str:
    """3 changes: 1 swap, 2 loads; 13.0 GiB to download; 1 port blocked"""
    counts = Counter(row["verdict"] for row in plan["rows"])
    steps = [counted(counts[verdict], verdict) for verdict in STEPS if counts[verdict]]
    blocked = counts["blocked"]
    parts = [f"{counted(plan['changes'], 'change')}: {', '.join(steps)}" if steps else "no changes"]
    if download := download_bytes(plan):
        parts.append(f"{file_size(download)} to download")
    if blocked:
        parts.append(f"{counted(blocked, 'port')} blocked")
    if not steps and not blocked:
        parts.append("every port is as planned")
    return "; ".join(parts)


def download_bytes(plan: dict[str, Any]) -> int:
    """What apply would download."""
    return sum(row.get("download_bytes") or 0 for row in plan["rows"] if is_due(row))


def question(plan: dict[str, Any]) -> str | None:
    """What a user is asked before servers are stopped: "Stop 2 servers and load 3 models?". None if
    no server would be."""
    due = [row for row in plan["rows"] if is_due(row)]
    stops = [row for row in due if row.get("live") or row["verdict"] in ("restart", "unload")]
    loads = [row for row in due if row["verdict"] != "unload"]
    if not stops:
        return None
    load = f" and load {counted(len(loads), 'model')}" if loads else ""
    download = download_bytes(plan)
    much = f" ({file_size(download)} to download)" if download else ""
    return f"Stop {counted(len(stops), 'server')}{load}{much}?"
