"""Drift, where registry and host differ: the reason and the next command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..agent.ports import remedies
from .format import cell, printable
from .style import Style


def kind(problem: dict[str, Any]) -> str:
    """The drift, or the state of a broken server."""
    return str(problem.get("drift") or problem.get("state"))


def state_cell(port: Mapping[str, Any], style: Style) -> str:
    """The state of a port, which is that of a model server: `foreign` if another program listens
    there and answers otherwise."""
    foreign = port.get("drift") == "foreign" and port.get("state") == "unresponsive"
    return style.wrong("foreign") if foreign else style.state(cell(port.get("state")))


def next_step(problem: dict[str, Any]) -> str:
    """The command for a drift or a broken state, and alternatives."""
    what, port, entry = kind(problem), problem.get("port"), problem.get("entry")
    step = problem.get("next") or remedies.command(what, port, entry)
    return printable(remedies.advice(step, what, port, entry))


def location(record: dict[str, Any]) -> str:
    """The port and the entry of a drift or an action."""
    return " ".join(cell(record[key]) for key in ("port", "entry") if record.get(key) is not None)


def drift_lines(drifts: list[dict[str, Any]] | None, style: Style) -> list[str]:
    """Per drift, a line with its reason and a line with the next command."""
    lines = []
    for drift in drifts or []:
        lines.append(
            f"{style.wrong(cell(kind(drift)))} {location(drift)}: {cell(drift.get('reason'))}"
        )
        lines.append(f"  next: {next_step(drift)}")
    return lines


def one_line(drift: dict[str, Any]) -> str:
    """One line, as cron mails it: kind, port, entry, reason, next command."""
    what = f"{cell(kind(drift))} {location(drift)}"
    return f"{what}: {cell(drift.get('reason'))} (next: {next_step(drift)})"
