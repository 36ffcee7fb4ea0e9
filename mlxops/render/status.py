"""The state of every port, and what to do where it differs from the registry."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .drift import drift_lines, kind, state_cell
from .format import cell, duration, latency, printable, size, token_rate
from .style import Style
from .table import Column, Listing, Row, table
from .verify import check_lines, verdict


def _proof(port: Row, style: Style) -> str:
    return verdict(port["ok"], style) if port.get("checks") else cell(None)


def _drift(port: Row, style: Style) -> str:
    return style.wrong(cell(port["drift"])) if port.get("drift") else cell(None)


COLUMNS = (
    Column(name="PORT", text=lambda p, _: cell(p["port"]), key=lambda p: p["port"], keep=True),
    Column(name="SLOT", text=lambda p, _: cell(p.get("slot_name")), weight=6, shorten=12),
    Column(
        name="ENTRY",
        text=lambda p, _: cell(p.get("entry") or p.get("wanted")),
        keep=True,
        shorten=20,
    ),
    Column(name="STATE", text=state_cell, keep=True),
    Column(name="DRIFT", text=_drift, weight=7),
    Column(name="SERVED", text=lambda p, _: cell(p.get("served_model")), weight=1, shorten=20),
    Column(
        name="MEMORY",
        text=lambda p, _: size(p.get("rss_bytes")),
        key=lambda p: p.get("rss_bytes"),
        weight=4,
        right=True,
        largest=True,
    ),
    Column(
        name="UPTIME",
        text=lambda p, _: duration(p.get("uptime_s")),
        key=lambda p: p.get("uptime_s"),
        weight=3,
        right=True,
        largest=True,
    ),
    Column(
        name="LATENCY",
        text=lambda p, _: latency(p.get("latency_ms")),
        key=lambda p: p.get("latency_ms"),
        weight=2,
        right=True,
        largest=True,
    ),
)
REQUESTS = Column(
    name="REQ",
    text=lambda p, _: cell(p.get("requests")),
    key=lambda p: p.get("requests"),
    weight=8,
    right=True,
    largest=True,
)
RATE = Column(
    name="TOKENS/S",
    text=lambda p, _: token_rate(p.get("tokens_per_s")),
    key=lambda p: p.get("tokens_per_s"),
    weight=8,
    right=True,
    largest=True,
)
# The results of --deep.
DEEP = (
    *COLUMNS[:6],
    Column(name="RESULT", text=_proof, weight=9),
    Column(
        name="FIRST",
        text=lambda p, _: latency(p.get("first_token_ms")),
        key=lambda p: p.get("first_token_ms"),
        weight=5,
        right=True,
        largest=True,
    ),
    RATE,
    *COLUMNS[6:],
)
# What --watch shows.
WATCH = (*COLUMNS[:5], REQUESTS, RATE, *COLUMNS[5:])
WATCHED = Listing("watched", WATCH, itemgetter("port"))
LISTING = Listing("ports", DEEP, itemgetter("port"))


def status(result: dict[str, Any], style: Style) -> str:
    """The table of ports, a line about memory, one per port with a job or an unknown state, two per
    drift."""
    return "\n".join(
        [table(DEEP if style.columns else COLUMNS, result["ports"], style), *_below(result, style)]
    )


def status_problems(result: dict[str, Any], style: Style) -> str:
    """One line per port in an unknown state, two per drift or broken server, one per failed check;
    empty if there is none."""
    unknown = [_why(port) for port in result["ports"] if port.get("state") == "unknown"]
    return "\n".join([*unknown, *_wrong(result, style), *_failed_checks(result, style)])


def deep(result: dict[str, Any], style: Style) -> str:
    """The same with speed and result, and a line per check that did not pass, except `registry`,
    which is reported as drift."""
    lines = [table(DEEP, result["ports"], style), *_below(result, style)]
    return "\n".join([*lines, *_failed_checks(result, style)])


def _failed_checks(result: dict[str, Any], style: Style) -> list[str]:
    """Those of --deep."""
    ports = [_but_registry(port) for port in result["ports"] if port.get("checks")]
    return [line for port in ports for line in check_lines(port, style)]


def _but_registry(port: dict[str, Any]) -> dict[str, Any]:
    return {**port, "checks": [check for check in port["checks"] if check["check"] != "registry"]}


def _below(result: dict[str, Any], style: Style) -> list[str]:
    reasons = map(_why, filter(_unexplained, result["ports"]))
    return ["", memory_line(result.get("memory")), *reasons, *_wrong(result, style)]


def _wrong(result: dict[str, Any], style: Style) -> list[str]:
    broken = {one["port"]: one for one in result.get("broken") or []}
    others = [one for port, one in broken.items() if not _drifts(result, port)]
    return [
        *drift_lines(result.get("drift"), style),
        *_all_at_once(result.get("drift") or []),
        *drift_lines(others, style),
    ]


def _all_at_once(drifts: list[dict[str, Any]]) -> list[str]:
    """The command that starts the models of several ports again, as after a power cut."""
    gone = sum(kind(drift) in ("stale", "lost") for drift in drifts)
    return [f"all {gone} at once: mlxops apply"] if gone > 1 else []


def _unexplained(port: dict[str, Any]) -> bool:
    """Whether a port has a reason, such as a running download, that no line of a drift gives."""
    return bool(port.get("reason")) and not port.get("drift") and not port.get("broken")


def _drifts(result: dict[str, Any], port: int) -> bool:
    return any(one["port"] == port for one in result.get("drift") or [])


def _why(port: dict[str, Any]) -> str:
    return f"{cell(port.get('state'))} {cell(port['port'])}: {printable(port['reason'])}"


def memory_line(figures: dict[str, Any] | None) -> str:
    known = figures or {}
    available, total = size(known.get("available_bytes")), size(known.get("total_bytes"))
    wired = known.get("wired_limit_bytes")
    limit = f", wired limit {size(wired)}" if wired is not None else ""
    return f"memory: {available} of {total} available{limit}"
