"""The verb hosts."""

from __future__ import annotations

from typing import Any

from ...agent.errors import Failed, Usage
from ...agent.wire.slots import slot_warnings
from ...hosts import files as host_files
from ...hosts import folders as hostfolders
from ...hosts import runtimes as hostruntimes
from ...hosts.files import ChosenHost, Host
from ...hosts.folders import Candidate
from ...render.hosts import LISTING, host_table
from .. import options
from ..run import Answer, Flags, Run
from ..verb import verb


@verb(
    "hosts",
    "mlxops hosts",
    "mlxops hosts -o name",
    "mlxops hosts --hosts-dir ~/hosts",
    "mlxops hosts add studio        # write a host file: mlxops hosts add --help",
    "mlxops hosts use studio        # make it the default: mlxops hosts use --help",
    together=True,
)
@options.listing(LISTING)
def hosts(run: Run) -> Answer:
    """List the host files and mark the one in use.

    The host in use is that of --host, else of $MLXOPS_HOST, else of `host` in
    ~/.config/mlxops/config.toml, else the only one there is. Host files are read from --hosts-dir
    or $MLXOPS_HOSTS_DIR; if neither is given, from ~/.config/mlxops/hosts, then from hosts/ of the
    clone that mlxops runs from. Exit 1 if one of them cannot be used."""
    candidates = host_files.available(run.flags.hosts_dir)
    choices, note = _choose(run.flags)
    rows = [_row(candidate, choices) for candidate in candidates.values()]
    result = {
        "hosts": rows,
        "shadowed": _shadowed_files(run.flags, candidates),
        "note": note,
        "unused": _unused_files(run.flags),
        "warnings": [
            f"{row['name']}: {warning}" for row in rows for warning in row.pop("warnings")
        ],
    }
    return Answer(result, host_table, _error(rows))


def _choose(flags: Flags) -> tuple[list[ChosenHost], str]:
    """The files that other verbs would use, or why that is unclear."""
    try:
        if flags.several_hosts:
            names = None if flags.every_host else flags.host_names
            files = host_files.choose_hosts(names, flags.hosts_dir)
            return [
                ChosenHost(file, "--all" if flags.every_host else "--host") for file in files
            ], ""
        return [host_files.choose_host(flags.first_host, flags.hosts_dir)], ""
    except Usage as unclear:
        return [], f"{unclear.message}; {unclear.hint}"


def _row(candidate: Candidate, choices: list[ChosenHost]) -> dict[str, Any]:
    choice = next((one for one in choices if one.file == candidate), None)
    chosen = choice is not None
    row = {
        "name": candidate.name,
        "path": str(candidate.path),
        "chosen": chosen,
        "source": candidate.folder.source,
        "chosen_by": choice.source if choice else None,
        "error": None,
        "hint": None,
        "warnings": [],
    }
    try:
        host = host_files.read_host(candidate.path)
        return {**row, **_connection(host), "warnings": _warnings(host)}
    except Usage as wrong:
        return {
            **row,
            "transport": None,
            "target": None,
            "ports": None,
            "error": wrong.message,
            "hint": wrong.hint,
        }


def _warnings(host: Host) -> list[str]:
    runtime = hostruntimes.unknown_runtime(host.site)
    return [*([runtime] if runtime else []), *slot_warnings(host.site["slots"])]


def _connection(host: Host) -> dict[str, Any]:
    user = f"{host.ssh.user}@" if host.ssh.user else ""
    target = f"{user}{host.ssh.host}" if host.transport == "ssh" else None
    return {"transport": host.transport, "target": target, "ports": host.site["ports"]}


def _shadowed_files(flags: Flags, candidates: dict[str, Candidate]) -> list[dict[str, Any]]:
    """Files hidden by another file of the same name, including those in folders that --hosts-dir
    replaces."""
    everywhere = [
        *hostfolders.candidates(flags.hosts_dir),
        *hostfolders.skipped_candidates(flags.hosts_dir),
    ]
    hidden = [
        one
        for one in everywhere
        if one.name in candidates and candidates[one.name].path != one.path
    ]
    return [
        {"name": one.name, "path": str(one.path), "by": str(candidates[one.name].path)}
        for one in hidden
    ]


def _unused_files(flags: Flags) -> list[str]:
    """Host files in the current folder, which earlier versions read."""
    used = [folder.path for folder in hostfolders.folders(flags.hosts_dir)]
    return [str(path) for path in hostfolders.ignored_files() if path.parent.absolute() not in used]


def _error(rows: list[dict[str, Any]]) -> Failed | None:
    names = [str(row["name"]) for row in rows if row["error"]]
    if not names:
        return None
    text = (
        f"{len(names)} host file{'s' if len(names) > 1 else ''} cannot be used: {', '.join(names)}"
    )
    return Failed(text, next(str(row["hint"]) for row in rows if row["error"]), hosts=names)
