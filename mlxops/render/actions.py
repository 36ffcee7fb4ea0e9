"""A plan, or what became of it: one line per action and per drift, the same for a dry run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .drift import location, next_step, one_line
from .format import cell, printable
from .style import Style


def action_lines(actions: list[dict[str, Any]]) -> list[str]:
    return [_line(action) for action in actions]


def plan_lines(actions: list[dict[str, Any]]) -> list[str]:
    """What would be done, a line per action: would stop amber on 8100 (pid 12 serves it)."""
    return [_plan_line(action) for action in actions]


def _plan_line(action: dict[str, Any]) -> str:
    entry, port = action.get("entry"), action.get("port")
    where = (
        f"{printable(entry)} on {cell(port)}" if entry and port is not None else location(action)
    )
    why = f" ({printable(action['reason'])})" if action.get("reason") else ""
    return f"would {cell(action['action'])} {where}{why}{_next(action)}"


def _next(action: dict[str, Any]) -> str:
    return f" (next: {next_step({**action, 'drift': 'stale'})})" if action.get("next") else ""


def _line(action: dict[str, Any]) -> str:
    why = f": {printable(action['reason'])}" if action.get("reason") else ""
    planned = "" if action.get("applied") or action["action"] == "keep" else " (not done)"
    return f"{cell(action['action'])} {location(action)}{planned}{why}{_next(action)}"


def change_lines(result: dict[str, Any], style: Style) -> str:
    """One line per change and per thing that is wrong; empty when there is neither."""
    return "\n".join([*action_lines(result["actions"]), *map(one_line, problems(result))])


def problems(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every drift and every broken server, but for what the line of an action tells already."""
    cleared = [
        (action["port"], action["entry"]) for action in result["actions"] if action.get("applied")
    ]
    drifts = result.get("drift") or []
    left = [
        one
        for one in drifts
        if one["drift"] != "lost" or (one["port"], one["entry"]) not in cleared
    ]
    return [*left, *(result.get("broken") or [])]


def as_dry_run(
    text: Callable[[dict[str, Any], Style], str],
) -> Callable[[dict[str, Any], Style], str]:
    """The same text, each line marked as something that was not done."""
    return lambda result, style: "\n".join(
        f"dry run: {line}" for line in text(result, style).splitlines()
    )


def change_summary(result: dict[str, Any], style: Style) -> str:
    """As `changes`, with a sentence where there is nothing to say."""
    return change_lines(result, style) or "Nothing to do."


def reconcile_plan(result: dict[str, Any], style: Style) -> str:
    """What reconcile would do, and what is wrong and would be left."""
    return (
        "\n".join([*plan_lines(result["actions"]), *map(one_line, problems(result))])
        or "Nothing to do."
    )
