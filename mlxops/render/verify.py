"""The results of verify: a row per port, and a line per check that did not pass."""

from __future__ import annotations

from typing import Any

from .drift import state_cell
from .format import cell, latency, printable, token_rate
from .style import Style
from .table import table

_COLUMNS = ("PORT>", "ENTRY", "STATE", "RESULT", "SERVED", "FIRST>", "TOKENS/S>")
_RESULTS = {True: "ok", False: "failed", None: "unknown"}


def verify_result(result: dict[str, Any], style: Style) -> str:
    """The table, and below it the checks that failed or remained unknown."""
    return _text(result, style, everything=False)


def verify_details(result: dict[str, Any], style: Style) -> str:
    return _text(result, style, everything=True)


def verdict(ok: bool | None, style: Style) -> str:
    return style.verdict(_RESULTS[ok])


def check_lines(port: dict[str, Any], style: Style, everything: bool = False) -> list[str]:
    """One line per check of a port; without `everything` only those that did not pass."""
    checks = [check for check in port.get("checks") or [] if everything or check["ok"] is not True]
    return [_check_line(port, check, style) for check in checks]


def _check_line(port: dict[str, Any], check: dict[str, Any], style: Style) -> str:
    where, detail = cell(port["port"]), printable(check["detail"])
    if check["ok"] is None and detail.startswith("free: "):
        return f"{where} was not tested: {detail.removeprefix('free: ')}"
    return f"{verdict(check['ok'], style)} {where} {cell(check['check'])}: {detail}"


def verify_problems(result: dict[str, Any], style: Style) -> str:
    """The checks that failed, and the ports that could not be tested."""
    lines = [
        line
        for port in result["ports"]
        if port["ok"] is not True
        for line in check_lines(port, style)
    ]
    return "\n".join([*lines, *(line for one in result["entries"] for line in _entry(one, style))])


def _text(result: dict[str, Any], style: Style, everything: bool) -> str:
    rows = [_row(port, style) for port in result["ports"]]
    lines = [table(_COLUMNS, rows, style.width)] if rows else ["No server is running."]
    below = [line for port in result["ports"] for line in check_lines(port, style, everything)]
    for entry in result["entries"]:
        below += _entry(entry, style, everything)
    return "\n".join([*lines, *([""] if below else []), *below])


def _row(port: dict[str, Any], style: Style) -> list[str]:
    return [
        cell(port["port"]),
        cell(port.get("entry")),
        state_cell(port, style),
        verdict(port["ok"], style),
        cell(port.get("served_model")),
        latency(port.get("first_token_ms")),
        token_rate(port.get("tokens_per_s")),
    ]


def _entry(entry: dict[str, Any], style: Style, everything: bool = False) -> list[str]:
    import shlex

    name = printable(entry["entry"])
    if entry["ok"]:
        return (
            [f"{verdict(True, style)} {name}: its runtime accepts its settings"]
            if everything
            else []
        )
    step = f"  next: mlxops set {shlex.quote(name)} KEY=VALUE"
    return [
        f"{verdict(False, style)} {name}: cannot be started: "
        f"{printable('; '.join(entry['reasons']))}",
        step,
    ]
