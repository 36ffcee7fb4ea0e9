"""A plan, or what became of it: one line per action and per drift, the same for a dry run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .drift import mail_line, place
from .style import Style
from .words import safe, word


def action_lines(actions: list[dict[str, Any]]) -> list[str]:
    return [_line(action) for action in actions]


def _line(action: dict[str, Any]) -> str:
    why = f": {safe(action['reason'])}" if action.get("reason") else ""
    planned = "" if action.get("applied") or action["action"] == "keep" else " (not done)"
    return f"{word(action['action'])} {place(action)}{planned}{why}"


def changes(result: dict[str, Any], style: Style) -> str:
    """One line per change and per thing that is wrong; empty when there is neither."""
    return "\n".join([*action_lines(result["actions"]), *map(mail_line, result.get("drift") or [])])


def supposed(text: Callable[[dict[str, Any], Style], str]) -> Callable[[dict[str, Any], Style], str]:
    """The same text, each line marked as something that was not done."""
    return lambda result, style: "\n".join(f"dry run: {line}" for line in text(result, style).splitlines())


def plan(result: dict[str, Any], style: Style) -> str:
    """As `changes`, with a sentence where there is nothing to say."""
    return changes(result, style) or "Nothing to do."
