"""The results of verify: a row per port, and a line per check that did not pass."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .drift import state_cell
from .format import cell, latency, printable, token_rate
from .style import Style
from .table import Column, Listing, table

_RESULTS = {True: "ok", False: "failed", None: "unknown"}
COLUMNS = (
    Column(name="PORT", text=lambda p, _: cell(p["port"]), key=lambda p: p["port"], keep=True),
    Column(name="ENTRY", text=lambda p, _: cell(p.get("entry")), keep=True, shorten=20),
    Column(name="STATE", text=state_cell, keep=True),
    Column(name="RESULT", text=lambda p, style: verdict(p["ok"], style), keep=True),
    Column(name="SERVED", text=lambda p, _: cell(p.get("served_model")), weight=1, shorten=20),
    Column(
        name="FIRST",
        text=lambda p, _: latency(p.get("first_token_ms")),
        key=lambda p: p.get("first_token_ms"),
        weight=2,
        right=True,
        largest=True,
    ),
    Column(
        name="TOKENS/S",
        text=lambda p, _: token_rate(p.get("tokens_per_s")),
        key=lambda p: p.get("tokens_per_s"),
        weight=3,
        right=True,
        largest=True,
    ),
)
LISTING = Listing("ports", COLUMNS, itemgetter("port"))


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
    rows = result["ports"]
    lines = [table(COLUMNS, rows, style)] if rows else ["No server is running."]
    below = [line for port in result["ports"] for line in check_lines(port, style, everything)]
    for entry in result["entries"]:
        below += _entry(entry, style, everything)
    return "\n".join([*lines, *([""] if below else []), *below])


def _entry(entry: dict[str, Any], style: Style, everything: bool = False) -> list[str]:
    name = printable(entry["entry"])
    if entry["ok"]:
        return (
            [f"{verdict(True, style)} {name}: its runtime accepts its settings"]
            if everything
            else []
        )
    why = printable("; ".join(entry["reasons"]))
    step = [f"  next: {printable(entry['next'])}"] if entry.get("next") else []
    return [
        f"{verdict(False, style)} {name}: cannot be started: {why}",
        *step,
    ]
