"""The state of every port, and what to do where it differs from the registry."""

from __future__ import annotations

from typing import Any

from .drift import drift_lines, state_cell
from .format import cell, duration, latency, printable, size, token_rate
from .style import Style
from .table import table
from .verify import check_lines, verdict

_COLUMNS = ("PORT>", "SLOT", "ENTRY", "STATE", "DRIFT", "SERVED", "MEMORY>", "UPTIME>", "LATENCY>")
# A narrow terminal drops the last columns, so the results of --deep come before them.
_DEEP = (*_COLUMNS[:6], "RESULT", "FIRST>", "TOKENS/S>", *_COLUMNS[6:])


def status(result: dict[str, Any], style: Style) -> str:
    """The table of ports, a line about memory, one per port with a job or an unknown state, two per
    drift."""
    rows = [_row(port, style) for port in result["ports"]]
    return "\n".join([table(_COLUMNS, rows, style.width), *_below(result, style)])


def status_problems(result: dict[str, Any], style: Style) -> str:
    """One line per port in an unknown state, two per drift or broken server, one per failed check;
    empty if there is none."""
    unknown = [_why(port) for port in result["ports"] if port.get("state") == "unknown"]
    return "\n".join([*unknown, *_wrong(result, style), *_failed_checks(result, style)])


def deep(result: dict[str, Any], style: Style) -> str:
    """The same with speed and result, and a line per check that did not pass, except `registry`,
    which is reported as drift."""
    rows = [
        [*cells[:6], *_proof(port, style), *cells[6:]]
        for port in result["ports"]
        for cells in [_row(port, style)]
    ]
    lines = [table(_DEEP, rows, style.width), *_below(result, style)]
    return "\n".join([*lines, *_failed_checks(result, style)])


def _failed_checks(result: dict[str, Any], style: Style) -> list[str]:
    """Those of --deep."""
    ports = [_but_registry(port) for port in result["ports"] if port.get("checks")]
    return [line for port in ports for line in check_lines(port, style)]


def _but_registry(port: dict[str, Any]) -> dict[str, Any]:
    return {**port, "checks": [check for check in port["checks"] if check["check"] != "registry"]}


def _proof(port: dict[str, Any], style: Style) -> list[str]:
    outcome = verdict(port["ok"], style) if port["checks"] else cell(None)
    return [outcome, latency(port.get("first_token_ms")), token_rate(port.get("tokens_per_s"))]


def _below(result: dict[str, Any], style: Style) -> list[str]:
    reasons = map(_why, filter(_unexplained, result["ports"]))
    return ["", memory_line(result.get("memory")), *reasons, *_wrong(result, style)]


def _wrong(result: dict[str, Any], style: Style) -> list[str]:
    broken = {one["port"]: one for one in result.get("broken") or []}
    others = [one for port, one in broken.items() if not _drifts(result, port)]
    warnings = [f"warning: {printable(text)}" for text in result.get("warnings") or []]
    return [
        *drift_lines(result.get("drift"), style),
        *drift_lines(others, style),
        *warnings,
    ]


def _unexplained(port: dict[str, Any]) -> bool:
    """Whether a port has a reason, such as a running download, that no line of a drift gives."""
    return bool(port.get("reason")) and not port.get("drift") and not port.get("broken")


def _drifts(result: dict[str, Any], port: int) -> bool:
    return any(one["port"] == port for one in result.get("drift") or [])


def _why(port: dict[str, Any]) -> str:
    return f"{cell(port.get('state'))} {cell(port['port'])}: {printable(port['reason'])}"


def _row(port: dict[str, Any], style: Style) -> list[str]:
    return [
        cell(port["port"]),
        cell(port.get("slot_name")),
        cell(port.get("entry") or port.get("wanted")),
        state_cell(port, style),
        style.wrong(cell(port["drift"])) if port.get("drift") else cell(None),
        cell(port.get("served_model")),
        size(port.get("rss_bytes")),
        duration(port.get("uptime_s")),
        latency(port.get("latency_ms")),
    ]


def memory_line(figures: dict[str, Any] | None) -> str:
    known = figures or {}
    available, total = size(known.get("available_bytes")), size(known.get("total_bytes"))
    wired = known.get("wired_limit_bytes")
    limit = f", wired limit {size(wired)}" if wired is not None else ""
    return f"memory: {available} of {total} available{limit}"
