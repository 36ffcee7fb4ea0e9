"""The verb about host files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import hosts as host_files
from ..agent.errors import Usage
from ..hosts import Host
from ..render.found import hosts_found
from .invocation import Answer, Flags, Invocation
from .verb import verb


@verb("hosts", "mlxops hosts", "mlxops hosts --hosts-dir ~/hosts")
def hosts(it: Invocation) -> Answer:
    """The host files found, where they come from, and which one is meant."""
    found = host_files.available(it.flags.hosts_dir)
    chosen, note = _chosen(it.flags)
    rows = [_row(name, path, path == chosen) for name, path in found.items()]
    return Answer({"hosts": rows, "note": note}, hosts_found)


def _chosen(flags: Flags) -> tuple[Path | None, str]:
    """The file other verbs would use, or why there is no telling."""
    try:
        return host_files.choose(flags.host, flags.hosts_dir), ""
    except Usage as unclear:
        return None, f"{unclear.message}; {unclear.hint}"


def _row(name: str, path: Path, chosen: bool) -> dict[str, Any]:
    row = {"name": name, "path": str(path.resolve()), "chosen": chosen, "error": None}
    try:
        return {**row, **_described(host_files.read(path))}
    except Usage as wrong:
        return {**row, "transport": None, "target": None, "ports": None, "error": wrong.message}


def _described(host: Host) -> dict[str, Any]:
    user = f"{host.ssh.user}@" if host.ssh.user else ""
    target = f"{user}{host.ssh.host}" if host.transport == "ssh" else None
    return {"transport": host.transport, "target": target, "ports": host.site["ports"]}
