"""The names in the answers of a host, kept on this machine so that a shell can complete them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from ... import client_state
from ...hosts.files import Host

MAX_ENTRIES, MAX_JOBS = 2000, 30
PARSERS = ("tool_call_parser", "reasoning_parser")


class KnownNames(NamedTuple):
    """`entries`: name -> repo. `loaded`: port, as text -> entry. `jobs`: ids, newest first.
    `parsers`: key -> the values that were seen, or that a runtime offers."""

    entries: dict[str, str]
    loaded: dict[str, str]
    jobs: list[str]
    parsers: dict[str, list[str]]


NOTHING = KnownNames({}, {}, [], {})


def names_of(host: Host) -> KnownNames:
    """What is known of a host; nothing of a file with other contents."""
    kept = client_state.read_json(_file(host))
    if not isinstance(kept, list) or len(kept) != len(NOTHING):
        return NOTHING
    if [type(one) for one in kept] != [type(one) for one in NOTHING]:
        return NOTHING
    return KnownNames(*kept)


def remember(calls: Iterable[tuple[Host, str, dict[str, Any], dict[str, Any]]]) -> None:
    """Keep the names in the answers of these calls; writes only if something is new."""
    for host, verb, args, result in calls:
        before = names_of(host)
        after = updated(before, verb, args, result)
        if after != before:
            client_state.write_json(_file(host), after)


def updated(
    names: KnownNames, verb: str, args: dict[str, Any], result: dict[str, Any]
) -> KnownNames:
    """The names after the answer to a call."""
    if verb == "list":
        return _listed(names, result.get("models") or [])
    if verb == "status":
        return _seen_on_ports(names, result.get("ports") or [])
    if verb == "jobs":
        ids = [str(row.get("short") or row.get("job")) for row in result.get("jobs") or []]
        return names._replace(jobs=ids[:MAX_JOBS])
    if args.get("dry_run"):
        return names
    if verb in ("remove", "rename"):
        gone = args.get("name")
        entries = {name: repo for name, repo in names.entries.items() if name != gone}
        names = names._replace(entries=entries)
    return names if verb == "remove" else _added(names, result)


def _listed(names: KnownNames, rows: list[dict[str, Any]]) -> KnownNames:
    entries = {str(row["name"]): str(row.get("repo_id") or "") for row in rows[:MAX_ENTRIES]}
    loaded = {str(row["port"]): str(row["name"]) for row in rows if row.get("port")}
    return _with_parsers(names._replace(entries=entries, loaded=loaded), rows)


def _seen_on_ports(names: KnownNames, rows: list[dict[str, Any]]) -> KnownNames:
    loaded, entries = dict(names.loaded), dict(names.entries)
    for row in rows:
        entry = row.get("entry") or row.get("wanted")
        loaded.pop(str(row.get("port")), None)
        if entry:
            loaded[str(row["port"])] = str(entry)
            entries.setdefault(str(entry), "")
    return names._replace(loaded=loaded, entries=entries)


def _added(names: KnownNames, result: dict[str, Any]) -> KnownNames:
    """The names with the entries that a result names: of load, show, set, register, init, …"""
    row = result.get("entry")
    rows = [row if isinstance(row, dict) else {"name": row}]
    rows += [{"name": action.get("entry")} for action in result.get("actions") or []]
    rows = [row for row in rows if isinstance(row.get("name"), str)]
    known = {str(row["name"]): str(row.get("repo_id") or "") for row in rows}
    entries = {**known, **{name: repo for name, repo in names.entries.items() if repo}}
    names = names._replace(entries={**names.entries, **entries})
    offered = result.get("choices")
    return _with_parsers(names, [*rows, *([offered] if isinstance(offered, dict) else [])])


def _with_parsers(names: KnownNames, rows: list[dict[str, Any]]) -> KnownNames:
    """`rows`: entries, or key -> the values that a runtime offers."""
    parsers = {key: set(names.parsers.get(key) or []) for key in PARSERS}
    for row in rows:
        for key in PARSERS:
            value = row.get(key)
            parsers[key].update([value] if isinstance(value, str) else value or [])
    kept = {key: sorted(values) for key, values in parsers.items() if values}
    return names._replace(parsers=kept)


def _file(host: Host) -> str:
    return f"names-{host.name}-{zlib.crc32(os.fsencode(host.path.absolute())):08x}.json"
