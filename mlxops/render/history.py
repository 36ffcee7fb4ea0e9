"""The history: one line per change, or each change in full."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .actions import action_lines, plan_lines
from .format import (
    DASH,
    ago,
    cell,
    counted,
    duration,
    file_size,
    printable,
    size,
    timestamp,
    who,
)
from .style import Style
from .table import Column, Listing, Row, table
from .width import ARROW

MAX_VALUE = 60
# Unset, the default of the model family applies to these.
OPTIONS = ("chat_template", "tool_call_parser", "reasoning_parser", "args")


def history_table(result: dict[str, Any], style: Style) -> str:
    rows = result["changes"]
    if not rows:
        return "No changes on record."
    older = result["more"] and f"there are older changes: add -n {4 * len(rows)}"
    return "\n".join(filter(None, [table(COLUMNS, rows, style), older]))


def history_details(result: dict[str, Any], style: Style) -> str:
    """Every change as a block of lines."""
    return "\n\n".join(map(_block, result["changes"])) or "No changes on record."


def _block(row: Row) -> str:
    place = f" on port {row['port']}" if row["port"] else ""
    slot = f" ({cell(row['slot_name'])})" if row.get("slot_name") else ""
    took = f", took {duration(row['duration_s'])}" if row["duration_s"] is not None else ""
    figures = [
        f"ready after {duration(row['start_s'])}" if row.get("start_s") is not None else "",
        f"{size(row['memory_bytes'])} in memory" if row.get("memory_bytes") else "",
    ]
    about = {
        "who": who_text(row),
        "command": cell(row["why"]),
        "change": change_text(row),
        "server": ", ".join(filter(None, figures)),
        "job": row["job"],
    }
    lines = [f"{_moment(row['at'])}  {what_text(row)}{place}{slot}{took}"]
    lines += [f"  {name:<8} {printable(text)}" for name, text in about.items() if text]
    return "\n".join([*lines, *(f"  {field_text(change)}" for change in row["changes"])])


def page_result(result: dict[str, Any], style: Style) -> str:
    changes = counted(result["count"], "change")
    return f"wrote {printable(result['path'])}: {changes}, {file_size(result['size_bytes'])}"


def undo_plan(result: dict[str, Any], style: Style) -> str:
    """The change, and what undoing it does to each entry."""
    row = result["change"]
    head = f"{cell(row['why'])}, {ago(row['at'])} by {who_text(row)}: {change_text(row)}"
    return "\n".join([head, *plan_lines(result["actions"])])


def _moment(text: Any) -> str:
    """A time in the local zone."""
    at = timestamp(text)
    if at is None:
        return cell(text)
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def undo_question(result: dict[str, Any]) -> str:
    return f"Undo {cell(result['change']['why'])}?"


def undo_result(result: dict[str, Any], style: Style) -> str:
    lines = [f"undone: {cell(result['change']['why'])}", *action_lines(result["actions"])]
    return "\n".join(
        [*lines, *([] if style.quiet else ["to take this back: mlxops history --undo"])]
    )


def who_text(row: Row) -> str:
    """The user and the machine; one restricted to some verbs is marked by the host."""
    return who(row["who"], row["from"])


def what_text(row: Row) -> str:
    """The verb, with the outcome if it did not succeed."""
    done = row["outcome"] == "done"
    return cell(row["what"]) if done else f"{cell(row['what'])} {cell(row['outcome'])}"


def _what(row: Row, style: Style) -> str:
    text = what_text(row)
    failed = row["outcome"] in ("failed", "killed") or row["what"] == "lost"
    return style.wrong(text) if failed else text


def change_text(row: Row) -> str:
    """What is different since, in one line; of a failure, its reason."""
    if row["outcome"] not in ("done", "running"):
        return printable((str(row["reason"] or "").strip().splitlines() or [DASH])[0])
    if row["what"] == "lost":
        return f"{cell(row['before'])} ended ({cell(row['reason'] or 'unknown')})"
    if row["port"] and row["what"] in ("load", "unload", "restart", "adopt"):
        return _moved(row)
    return _edited(row)


def _moved(row: Row) -> str:
    before, after = row["before"], row["after"] or (row["what"] != "unload" and row["entry"])
    if before and before == after:
        return f"{cell(before)} again"
    return f"{cell(before or 'free')}{ARROW}{cell(after or 'free')}"


def _edited(row: Row) -> str:
    added, removed = row["added"], row["removed"]
    if len(added) == len(removed) == 1:
        return f"{cell(removed[0])}{ARROW}{cell(added[0])}"
    parts = [f"added {', '.join(map(cell, added))}"] if added else []
    parts += [f"removed {', '.join(map(cell, removed))}"] if removed else []
    whole = {*added, *removed}
    fields = [change for change in row["changes"] if change["entry"] not in whole]
    alone = len({change["entry"] for change in fields}) < 2 and not whole
    parts += [field_text(change, named=not alone) for change in fields]
    return "; ".join(parts) or DASH


def field_text(change: Row, named: bool = True) -> str:
    """One field, before and after."""
    name = f"{cell(change['entry'])}.{cell(change['field'])}" if named else cell(change["field"])
    sides = [_value(change["field"], change[side]) for side in ("before", "after")]
    return f"{name}: {ARROW.join(sides)}"


def _value(field: str, value: Any) -> str:
    """A value as `set` takes it."""
    if not value and field in OPTIONS:
        return "auto" if value is None else "none"
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    return "not set" if text is None else cell(str(text)[:MAX_VALUE])


COLUMNS = (
    Column(
        name="WHEN", text=lambda r, _: ago(r["at"]), key=lambda r: r["at"], right=True, keep=True
    ),
    Column(name="WHO", text=lambda r, _: who_text(r), weight=3, shorten=10),
    Column(name="WHAT", text=lambda r, style: _what(r, style), keep=True),
    Column(name="PORT", text=lambda r, _: cell(r["port"]), keep=True),
    Column(name="ENTRY", text=lambda r, _: cell(r["entry"]), keep=True, shorten=12),
    Column(
        name="TOOK",
        text=lambda r, _: duration(r["duration_s"]),
        key=lambda r: r["duration_s"],
        weight=1,
        right=True,
        largest=True,
    ),
    Column(name="CHANGE", text=lambda r, _: change_text(r), weight=5, shorten=20, prose=True),
)
HISTORY = Listing("changes", COLUMNS, lambda r: r["entry"] or r["port"])
