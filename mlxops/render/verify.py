"""What verify found: a row per port, and a line per check that is not right."""

from __future__ import annotations

from typing import Any

from .format import latency, pace, safe, word
from .style import Style
from .table import table

_COLUMNS = ("PORT>", "ENTRY", "STATE", "VERDICT", "SERVED", "FIRST>", "TOKENS/S>")
_VERDICTS = {True: "ok", False: "wrong", None: "unknown"}


def verified(result: dict[str, Any], style: Style) -> str:
    """The table, and below it what is wrong and what could not be told."""
    return _told(result, style, everything=False)


def every_check(result: dict[str, Any], style: Style) -> str:
    return _told(result, style, everything=True)


def verdict(ok: bool | None, style: Style) -> str:
    return style.verdict(_VERDICTS[ok])


def check_lines(port: dict[str, Any], style: Style, everything: bool = False) -> list[str]:
    """One line per check of a port; without `everything` only those that are not right."""
    checks = [check for check in port.get("checks") or [] if everything or check["ok"] is not True]
    return [
        f"{verdict(check['ok'], style)} {word(port['port'])} {word(check['check'])}: {safe(check['detail'])}"
        for check in checks
    ]


def _told(result: dict[str, Any], style: Style, everything: bool) -> str:
    rows = [_row(port, style) for port in result["ports"]]
    lines = [table(_COLUMNS, rows, style.width)] if rows else ["Nothing serves."]
    below = [line for port in result["ports"] for line in check_lines(port, style, everything)]
    for entry in result["entries"]:
        below += _entry(entry, style, everything)
    return "\n".join([*lines, *([""] if below else []), *below])


def _row(port: dict[str, Any], style: Style) -> list[str]:
    return [
        word(port["port"]),
        word(port.get("entry")),
        style.state(word(port.get("state"))),
        verdict(port["ok"], style),
        word(port.get("served_model")),
        latency(port.get("first_token_ms")),
        pace(port.get("tokens_per_s")),
    ]


def _entry(entry: dict[str, Any], style: Style, everything: bool) -> list[str]:
    import shlex

    name = safe(entry["entry"])
    if entry["ok"]:
        return (
            [f"{verdict(True, style)} {name}: would be started, as far as can be told"]
            if everything
            else []
        )
    step = f"  next: mlxops set {shlex.quote(name)} KEY=VALUE"
    return [
        f"{verdict(False, style)} {name}: would be refused: {safe('; '.join(entry['reasons']))}",
        step,
    ]
