"""Where registry and host differ: the reason, and the command that deals with it."""

from __future__ import annotations

from typing import Any

from .style import Style
from .words import safe, word

_NEXT = {
    "stale": "mlxops reconcile",
    "orphan": "mlxops init, to adopt it, or mlxops unload {port}",
    "foreign": "mlxops status {port}, once you have stopped it on the host; mlxops never does",
    "mismatch": "mlxops load {entry} {port} --replace",
    "duplicate": "mlxops unload {port}, then load the one that is meant",
    "unrecorded": "mlxops reconcile",
    "missing": "mlxops load {entry} {port}, to download it again, or mlxops remove {entry}",
}


def next_step(drift: dict[str, Any]) -> str:
    """The command that deals with this kind of drift."""
    import shlex

    port, entry = drift.get("port"), shlex.quote(safe(drift.get("entry") or "NAME"))
    step = _NEXT.get(str(drift["drift"]), "mlxops show {port}")
    return step.format(port="PORT" if port is None else port, entry=entry)


def place(record: dict[str, Any]) -> str:
    """The port and the entry that a drift or an action is about."""
    return " ".join(word(record[key]) for key in ("port", "entry") if record.get(key) is not None)


def paragraphs(drifts: list[dict[str, Any]] | None, style: Style) -> list[str]:
    """Per drift a line with its reason and one with the next command."""
    lines = []
    for drift in drifts or []:
        lines.append(f"{style.wrong(word(drift['drift']))} {place(drift)}: {word(drift.get('reason'))}")
        lines.append(f"  next: {next_step(drift)}")
    return lines


def mail_line(drift: dict[str, Any]) -> str:
    """One line, as cron mails it: kind, place, reason, next command."""
    return f"{word(drift['drift'])} {place(drift)}: {word(drift.get('reason'))} (next: {next_step(drift)})"
