"""fit: the memory a model needs, and what the host has; downloads and changes nothing."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

from ..context import Context
from ..errors import Failed, MlxopsError, ModelMissing, NotDownloadable, Usage
from ..hub.checks import check_complete
from ..hub.remote import Remote
from ..load import references
from ..load.memory import memory_request
from ..load.preflight import download_needed, resolve_entry
from ..load.presence import describe_faults
from ..load.request import LoadRequest
from ..memory import fit as memory
from ..models.options import find_installed, require_buildable
from ..ports.portname import report_meaning
from ..programs.installed import Installed
from ..registry import resolve
from ..registry.entries import Entry, Registry
from ..wire.values import MAX_CONTEXT


def fit(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    tokens, number = _tokens(args.get("context")), args.get("port")
    port = None if number is None else ctx.site.require_port(number)
    revision = str(args["revision"]) if args.get("revision") else None
    registry = ctx.store.read()
    model = _full_name(ctx, registry, str(args["model"]))
    request = LoadRequest.from_wire({"model": model, "port": 0, "revision": revision})
    entry = resolve_entry(ctx, registry, request)
    there = find_installed(ctx, entry.text("runtime"))
    remote = _described_on_hub(ctx, entry, there.command)
    needed = memory_request(ctx, entry, remote, there, port or entry.port)
    if needed is None:
        raise Failed("cannot read the weights of %s" % entry.name, "mlxops list", entry=entry.name)
    memory_fit = memory.fit(ctx, needed._replace(context_tokens=tokens))
    return {
        "entry": entry.name,
        "repo_id": entry.repo_id,
        "port": needed.port,
        "source": "hub" if remote else "disk",
        **memory_fit.record(),
        "refused": _load_error(ctx, memory_fit, entry, there, needed) or _download_error(remote),
    }


def _full_name(ctx: Context, registry: Registry, word: str) -> str:
    """The name of the entry that a word, or a unique part of a name, means; else the repo."""
    if resolve.find_exact(registry, word) or resolve.is_repo_id(word):
        return word
    entry = resolve.find_entry(registry, word)
    if entry is None:
        raise resolve.unknown_model(registry, word)
    report_meaning(ctx, word, entry.name)
    return entry.name


def _described_on_hub(ctx: Context, entry: Entry, command: Tuple[str, ...]) -> Optional[Remote]:
    """What must be downloaded, None if nothing. Without an answer of the Hub, the error is what is
    wrong with the files on this host, if there are any."""
    try:
        return download_needed(ctx, entry, command)
    except MlxopsError as exc:
        faults = describe_faults(entry.cache_path) if entry.cache_path else ""
        if not faults or exc.exit_code != ModelMissing.exit_code or isinstance(exc, ModelMissing):
            raise
        text = "%s cannot be loaded: %s; and to download it again: %s"
        raise ModelMissing(
            text % (entry.name, faults, exc.message),
            "restore the file on the host; or %s" % exc.hint,
            entry=entry.name,
            repo_id=entry.repo_id,
            path=entry.cache_path,
        ) from exc


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
    ctx: Context, found: memory.Fit, entry: Entry, there: Installed, needed: memory.MemoryRequest
) -> Optional[Dict[str, Any]]:
    """The error that a load would end with: something that the `args` name is missing, too little
    memory, or a model that cannot be built."""
    try:
        references.check(ctx, there.runtime, entry, needed.port or 0)
        if not found.fits:
            raise memory.not_enough_memory(found)
        require_buildable(entry, there, needed.config)
    except MlxopsError as exc:
        return exc.to_wire()
    return None
