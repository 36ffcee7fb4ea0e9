"""The command that fixes a drift or a broken state of a port. Pure; shared by client and agent."""

from __future__ import annotations

from typing import Optional

from ..errors import mlxops_command

# A `duplicate` of entries that want one port, of which at most one is assigned to it.
RIVALS = "rivals"
# A `missing` local model, which no Hub has.
MOVED = "moved"
_LOADED = ("stale", RIVALS)
_RELOADED = ("missing", "mismatch")
_RESTARTED = ("unresponsive", "dead-child")
_BY_PORT = {
    "lost": "apply",
    "held": "apply",
    "empty": "apply",
    "foreign": "status",
    "duplicate": "unload",
    "failed": "logs",
    "stray": "show",
    "switched": "verify",
}
_PLAIN = {"orphan": "init", "unrecorded": "reconcile"}
# What must be done before the command.
_FIRST = {
    "foreign": "stop it on the host, then: ",
    "missing": "mount its disk or restore its folder; or: ",
    MOVED: "mount its disk or restore its folder; or: ",
}
# Alternatives to the command.
_ELSE = {
    "stale": ", or mlxops unload {port} to forget it",
    "lost": ", or mlxops unload {port} to forget it",
    "held": ", or mlxops unload {port} to forget it",
    "empty": ", or delete its model from the host file",
    "stray": ", then stop that process on the host if it is not needed",
    "orphan": " to adopt it, or mlxops unload {port} to stop it",
    "duplicate": ", then load the model you want there",
    RIVALS: ", or load the one you want there",
    "missing": ", to download it again",
    "switched": ", which brings its own model back",
    MOVED: ", if it is elsewhere now",
}


def command(
    kind: str,
    port: Optional[int],
    entry: Optional[str],
    slot: Optional[int] = None,
    files_missing: bool = False,
) -> str:
    """The command for this kind of drift or state. `slot`: the port planned for the entry;
    `files_missing`: its snapshot is missing."""
    if kind == MOVED:
        return mlxops_command("set", entry or "NAME", "cache_path=PATH")
    place = "PORT" if port is None else port
    force = ["--force"] if slot not in (None, port) else []
    download = ["--download"] if files_missing or kind == "missing" else []
    if kind in _RESTARTED and entry and not files_missing:
        return mlxops_command("restart", place)
    reloaded = kind in (*_RELOADED, *_RESTARTED)
    if kind in _LOADED or (reloaded and entry):
        replace = ["--replace"] if reloaded else []
        return mlxops_command("load", entry or "NAME", place, *replace, *force, *download)
    if reloaded:
        return mlxops_command("unload", place)
    if kind in _PLAIN:
        return mlxops_command(_PLAIN[kind])
    return mlxops_command(_BY_PORT.get(kind, "show"), place)


def advice(step: str, kind: str, port: Optional[int], entry: Optional[str]) -> str:
    """The command `step`, with what must be done before it and what could be done instead."""
    import shlex

    if kind == "duplicate" and step.split()[1:2] == ["load"]:
        kind = RIVALS
    if kind == "missing" and step.split()[1:2] == ["set"]:
        kind = MOVED
    after = _ELSE.get(kind, "").format(
        port="PORT" if port is None else port, entry=shlex.quote(entry or "NAME")
    )
    return _FIRST.get(kind, "") + step + after
