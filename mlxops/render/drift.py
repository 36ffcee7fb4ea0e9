"""Where registry and host differ: the reason, and the command that deals with it."""

from __future__ import annotations

from typing import Any

from ..agent.ports import remedies
from .format import safe, word
from .style import Style


def kind(told: dict[str, Any]) -> str:
    """The drift, or the state of a server that is broken."""
    return str(told.get("drift") or told.get("state"))


def next_step(told: dict[str, Any]) -> str:
    """The command that deals with a drift or a broken state, and what else may be done."""
    what, port, entry = kind(told), told.get("port"), told.get("entry")
    step = told.get("next") or remedies.command(what, port, entry)
    return safe(step + remedies.otherwise(what, port, entry))


def place(record: dict[str, Any]) -> str:
    """The port and the entry that a drift or an action is about."""
    return " ".join(word(record[key]) for key in ("port", "entry") if record.get(key) is not None)


def paragraphs(drifts: list[dict[str, Any]] | None, style: Style) -> list[str]:
    """Per drift a line with its reason and one with the next command."""
    lines = []
    for drift in drifts or []:
        lines.append(
            f"{style.wrong(word(kind(drift)))} {place(drift)}: {word(drift.get('reason'))}"
        )
        lines.append(f"  next: {next_step(drift)}")
    return lines


def mail_line(drift: dict[str, Any]) -> str:
    """One line, as cron mails it: kind, place, reason, next command."""
    return f"{word(kind(drift))} {place(drift)}: {word(drift.get('reason'))} (next: {next_step(drift)})"
