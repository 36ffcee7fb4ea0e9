"""fit: the memory a model needs, and what the host has; downloads and changes nothing."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from ..context import Context
from ..errors import Failed, NotDownloadable, Usage
from ..hub.checks import check_complete
from ..hub.remote import Remote
from ..load.preflight import download_needed, memory_request, resolve_entry
from ..load.request import LoadRequest
from ..memory import fit as memory
from ..models.options import find_installed, require_buildable
from ..programs.installed import Installed
from ..registry.entries import Entry
from ..wire.values import MAX_CONTEXT


def fit(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    tokens, number = _tokens(args.get("context")), args.get("port")
    port = None if number is None else ctx.site.require_port(number)
    revision = str(args["revision"]) if args.get("revision") else None
    request = LoadRequest.from_wire({"model": args["model"], "port": 0, "revision": revision})
    entry = resolve_entry(ctx, ctx.store.read(), request)
    there = find_installed(ctx, entry.text("runtime"))
    remote = download_needed(ctx, entry, there.command)
    needed = memory_request(ctx, entry, remote, there.runtime, port or entry.port)
    if needed is None:
        raise Failed("cannot read the weights of %s" % entry.name, "mlxops list", entry=entry.name)
    memory_fit = memory.fit(ctx, needed._replace(context_tokens=tokens))
    return {
        "entry": entry.name,
        "repo_id": entry.repo_id,
        "port": needed.port,
        "source": "hub" if remote else "disk",
        **memory_fit.record(),
        "refused": _load_error(memory_fit, entry, there, needed.config) or _download_error(remote),
    }


def _download_error(remote: Optional[Remote]) -> Optional[Dict[str, Any]]:
    """The error if a load would refuse the download."""
    try:
        if remote is not None:
            check_complete(remote)
    except NotDownloadable as exc:
        return exc.to_wire()
    return None


def _tokens(value: Any) -> Optional[int]:
    if value is not None and not (type(value) is int and 0 < value <= MAX_CONTEXT):
        raise Usage("%r is not a number of tokens" % (value,), "1 to %d" % MAX_CONTEXT)
    return value


def _load_error(
    memory_fit: memory.Fit, entry: Entry, there: Installed, described: Mapping[str, Any]
) -> Optional[Dict[str, Any]]:
    """The error that a load would end with: too little memory, or a model that cannot be built."""
    if not memory_fit.fits:
        return memory.not_enough_memory(memory_fit).to_wire()
    try:
        require_buildable(entry, there, described)
    except Failed as exc:
        return exc.to_wire()
    return None
