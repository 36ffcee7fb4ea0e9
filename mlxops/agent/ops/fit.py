"""fit: the memory a model needs, and what the host has; downloads and changes nothing."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from ..context import Context
from ..errors import Failed, MlxopsError, NotDownloadable, Usage
from ..hub.checks import check_complete
from ..hub.remote import Remote
from ..load import presence, references, refusals
from ..load.memory import describe_model, memory_request
from ..load.preflight import find_remote, resolve_entry
from ..load.request import LoadRequest
from ..loader.description import Description
from ..memory import fit as memory
from ..models.options import find_installed, launch_options, require_buildable
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
    source = _find_files(ctx, entry, request, there)
    entry, remote = source.entry, source.remote
    if remote is None:
        entry = launch_options(ctx.site, entry, there).entry
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
        "loader": _loader(describe_model(ctx, entry, there, remote)),
        "refused": _load_error(ctx, memory_fit, source._replace(entry=entry), there, needed),
        "warnings": list(source.warnings),
    }


def _loader(said: Optional[Description]) -> Optional[Dict[str, Any]]:
    """What the runtime's loader says of the model, beside its cache; None if it cannot be asked."""
    if said is None:
        return None
    return {
        "program": said.program,
        "reads": list(said.reads),
        "faults": dict(said.faults),
        "template": said.template,
        "remote_code": said.remote_code,
    }


class Source(NamedTuple):
    """Where the figures are from: the files of `entry` on this host, or `remote`."""

    entry: Entry
    remote: Optional[Remote] = None
    warnings: Tuple[str, ...] = ()


def _find_files(ctx: Context, entry: Entry, request: LoadRequest, there: Installed) -> Source:
    """The error of a load, before the Hub is asked, for a model that it would not download."""
    if presence.is_usable(entry.cache_path):
        return Source(entry, warnings=presence.warnings(ctx.store.read(), entry, request))
    # A revision is asked for by name, and nothing is downloaded.
    presence.require_download_allowed(
        ctx, entry, request._replace(download=request.revision is not None)
    )
    try:
        remote = find_remote(ctx, entry, there.command)
    except NotDownloadable as exc:
        found = presence.substitute(ctx, entry, request, exc)
        return Source(entry.with_fields(cache_path=found.path), warnings=(found.warning,))
    check_complete(remote)
    note = presence.revision_note(ctx, entry, request)
    return Source(entry, remote, (note,) if note else ())


def _full_name(ctx: Context, registry: Registry, word: str) -> str:
    """The name of the entry that a word, or a unique part of a name, means; else the repo."""
    if resolve.find_exact(registry, word) or resolve.is_repo_id(word):
        return word
    entry = resolve.find_entry(registry, word)
    if entry is None:
        raise resolve.unknown_model(registry, word)
    report_meaning(ctx, word, entry.name)
    return entry.name


def _tokens(value: Any) -> Optional[int]:
    if value is not None and not (type(value) is int and 0 < value <= MAX_CONTEXT):
        raise Usage("%r is not a number of tokens" % (value,), "1 to %d" % MAX_CONTEXT)
    return value


def _load_error(
    ctx: Context, found: memory.Fit, source: Source, there: Installed, needed: memory.MemoryRequest
) -> Optional[Dict[str, Any]]:
    """The error that a load would end with: something that the `args` name is missing, too little
    memory, or a model that the runtime cannot build."""
    entry = source.entry
    try:
        references.check(ctx, there.runtime, entry, needed.port or 0)
        if not found.fits:
            raise memory.not_enough_memory(found)
        require_buildable(entry, there, needed.config)
        if needed.config:
            refusals.require_built(ctx, entry, there, source.remote)
    except MlxopsError as exc:
        return exc.to_wire()
    return None
