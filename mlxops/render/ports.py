"""What load, unload and unload-all did to a port, or would do."""

from __future__ import annotations

from typing import Any

from .actions import plan_lines
from .fit import memory_lines
from .format import cell, duration, printable
from .style import Style


def load_result(result: dict[str, Any], style: Style) -> str:
    """One line about what the port serves now; with --dry-run the plan."""
    if result.get("actions"):
        sums = memory_lines(result["memory"], style) if result.get("memory") else []
        return "\n".join([*plan_lines(result["actions"]), *sums])
    port, entry, state = (
        cell(result["port"]),
        cell(result.get("entry")),
        style.state(cell(result.get("state"))),
    )
    if not result.get("changed"):
        return style.idle(
            f"{port} already serves {entry} ({state}); mlxops restart {port} restarts it"
        )
    if result.get("kept"):
        return f"{port} already serves {entry} ({state}); from now on it is wanted there"
    swapped = result.get("previous") not in (None, result.get("entry"))
    before = f", instead of {printable(result['previous'])}" if swapped else ""
    name = f" as {printable(result['served_model'])}" if result.get("served_model") else ""
    gone = "".join(
        f", {printable(one['entry'])} unloaded from {printable(one['port'])}"
        for one in result.get("evicted") or []
        if one["port"] != result.get("moved_from")
    )
    anew = "restarted, " if result.get("restarted") else ""
    if result.get("moved_from"):
        anew = f"moved from {cell(result['moved_from'])}, "
    took = duration(result.get("duration_s"))
    return f"{port} serves {entry}{name}{before}: {anew}{state} after {took}{gone}"


def unload_result(result: dict[str, Any], style: Style) -> str:
    """One line about the port that was emptied; with --dry-run the plan."""
    if result.get("actions"):
        return "\n".join(plan_lines(result["actions"]))
    if not result.get("changed"):
        return style.idle(f"{result['port']} is already free")
    if result.get("left"):
        pids = ", ".join(map(str, result["left"]))
        text = (
            f"{result['port']}: {cell(result.get('entry'))} unloaded, but pid {pids}, started for"
        )
        return f"{text} this port too, is still running (mlxops unload {result['port']})"
    took = f" in {duration(result['duration_s'])}" if result.get("duration_s") is not None else ""
    forgot = [name for name in result.get("forgot") or [] if name != result.get("entry")]
    done = (
        [f"{_gone(result)}{took}"] if result.get("entry") or result.get("pid") or not forgot else []
    )
    done += [f"{printable(name)} was forgotten (it was not running)" for name in forgot]
    return f"{result['port']} is free: {', '.join(done)}{_declared(result)}"


def _declared(result: dict[str, Any]) -> str:
    """A line for a port that is free now, and drift: the host file declares a model for it."""
    if not result.get("declared"):
        return ""
    return (
        f"\n  the host file declares {printable(result['declared'])} for it: "
        f"`mlxops apply {result['port']}` loads it"
    )


def _gone(result: dict[str, Any]) -> str:
    if result.get("entry"):
        return f"{printable(result['entry'])} was unloaded"
    if not result.get("pid"):
        return "leftover processes were stopped"
    model = f", which served {printable(result['model'])}," if result.get("model") else ""
    unknown = "" if result.get("registry_changed") is False else " (not in the registry)"
    return f"pid {printable(result['pid'])}{model} was stopped{unknown}"


def servers_to_stop(ports: list[dict[str, Any]]) -> str:
    """The servers that unload-all would stop; first those in the registry."""
    known = [port for port in ports if not port.get("command")]
    others = [port for port in ports if port.get("command")]
    lines = [
        f"  {printable(port['port'])}  {cell(port.get('entry'))} (pid {printable(port['pid'])})"
        for port in known
    ]
    apart = [
        f"  {printable(port['port'])}  pid {printable(port['pid'])}: {printable(port['command'])}"
        for port in others
    ]
    return "\n".join(
        [
            *(["These servers would be stopped:", *lines] if lines else []),
            *(
                ["These are not in the registry (perhaps started by hand):", *apart]
                if apart
                else []
            ),
        ]
    )


def unload_all_result(result: dict[str, Any], style: Style, dry_run: bool = False) -> str:
    """One line per port that was, or would be, changed, skipped or not freed."""
    touched = [port for port in result["ports"] if _touched(port, style)]
    return "\n".join(_attempt(port, style, dry_run) for port in touched) or style.idle(
        "All ports were already free."
    )


def _touched(port: dict[str, Any], style: Style) -> bool:
    skipped = port.get("state") == "left" and not style.quiet
    return bool(port.get("changed") or port.get("actions") or skipped) or not port.get("ok", True)


def _attempt(port: dict[str, Any], style: Style, dry_run: bool) -> str:
    if port.get("ok", True) and port.get("state") == "left":
        start = f"would skip {port['port']}" if dry_run else f"{port['port']} skipped"
        who = f"pid {printable(port['pid'])}" if port.get("pid") else "what uses it"
        return f"{start}: {who} is not in the registry"
    if port.get("ok", True):
        return unload_result(port, style)
    why = printable(error_message(port.get("error")))
    if dry_run:
        return f"{style.wrong('would leave')} {port['port']}: {why}"
    return f"{port['port']} {style.wrong('not unloaded')}: {why}"


def error_message(error: Any) -> str:
    """The message of an error on the wire, which is a record or a plain text."""
    return (
        str(error.get("message", ""))
        if isinstance(error, dict)
        else str(error or "no reason given")
    )
