"""The memory that a load needs, and its check: refuse, warn, or accept with --force."""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional, Tuple

from ..context import Context
from ..errors import NotEnoughMemory
from ..formats.templates import read_template
from ..hub.remote import Remote
from ..jobs.reservations import reserved_bytes
from ..loader.ask import describe
from ..loader.description import Description
from ..loader.source import Folder, Listing, Source
from ..memory.arguments import read_settings
from ..memory.estimate import ExtraModel
from ..memory.fit import Fit, MemoryRequest, fit, not_enough_memory
from ..memory.kvcache import CountedCache, count_cache
from ..models import cache as hfcache
from ..models import files as modelfiles
from ..models.defaults import args_in_use
from ..procs import Unobservable
from ..programs.installed import MULTIMODAL, TRUST, Installed
from ..ranks import other_hosts
from ..registry.entries import Entry
from . import references
from .request import LoadPlan, LoadRequest


def memory_request(
    ctx: Context, entry: Entry, remote: Optional[Remote], there: Installed, port: Optional[int]
) -> Optional[MemoryRequest]:
    """The memory that a load needs, from the Hub or the snapshot; None if the size of the weights
    is unknown. Asks the runtime's loader about the model."""
    weights = (
        remote.weights_bytes if remote is not None else hfcache.weights_bytes(entry.cache_path)
    )
    if weights is None:
        return None
    config = remote.config if remote is not None else modelfiles.config(entry.cache_path)
    name = there.runtime.name
    return MemoryRequest(
        weights_bytes=weights // other_hosts.shard_count(entry),
        config=config,
        runtime=name,
        settings=read_settings(name, entry.args, there.flags),
        cache=_counted(there, config, describe_model(ctx, entry, there, remote)),
        port=port,
        extra_models=_extra_models(ctx, entry, there, port),
        name=entry.name,
    )


def describe_model(
    ctx: Context, entry: Entry, there: Installed, remote: Optional[Remote] = None
) -> Optional[Description]:
    """What the runtime's loader says of an entry's model, on the disk or on the Hub. The answer is
    kept: to ask again costs nothing."""
    source: Source = Folder(entry.cache_path)
    config: Mapping[str, Any] = modelfiles.config(entry.cache_path)
    if remote is not None:
        config = remote.config
        source = Listing(json.dumps(config), dict(remote.files))
    path = entry.text("chat_template") if there.runtime.chat_template and remote is None else ""
    return describe(
        ctx,
        there.runtime,
        there.command,
        source,
        remote_code=TRUST in entry.args,
        template=read_template(path) if path else "",
        vision=MULTIMODAL in args_in_use(entry, there, config),
        name=entry.name or entry.repo_id or "the model",
    )


def _counted(
    there: Installed, config: Mapping[str, Any], described: Optional[Description]
) -> CountedCache:
    other = "" if there.runtime.mlx_lm else "%s does not use mlx-lm" % there.runtime.name
    return count_cache(config, described, reason=other)


def _extra_models(
    ctx: Context, entry: Entry, there: Installed, port: Optional[int]
) -> Tuple[ExtraModel, ...]:
    """What the server loads beside its model."""
    extras = []
    for one, path in references.loaded_beside(ctx, there.runtime, entry, port):
        if one.kind == references.ADAPTER:
            config, cache, weights = {}, None, references.adapter_bytes(path)
        else:
            config, weights = modelfiles.config(path), hfcache.weights_bytes(path)
            source = Folder(path)
            described = describe(ctx, there.runtime, there.command, source, name=one.value)
            cache = _counted(there, config, described)
        if weights is not None:
            extra = ExtraModel(one.option, one.value, weights, config=config, cache=cache)
            extras.append(extra)
    return tuple(extras)


def check_memory(
    ctx: Context, needed: Optional[MemoryRequest], request: LoadRequest
) -> Tuple[Optional[Fit], Tuple[str, ...]]:
    """The fit and warnings; NotEnoughMemory if it does not fit and neither --force, --dry-run nor
    --evict applies."""
    if needed is None:
        return None, ("memory was not checked: the size of the weights is unknown",)
    try:
        memory_fit = fit(ctx, needed)
    except Unobservable as exc:
        return None, ("memory was not checked: %s" % exc.reason,)
    if memory_fit.fits or request.dry_run or (request.evict and memory_fit.unload):
        return memory_fit, ()
    error = not_enough_memory(memory_fit)
    if not request.force:
        raise error
    return memory_fit, (error.message + "; forced",)


def require_still_fits(ctx: Context, found: Optional[Fit], request: LoadRequest) -> None:
    """NotEnoughMemory if loads that began meanwhile have reserved the free memory. Measures
    nothing."""
    if found is None or request.force:
        return
    now = {
        port: size
        for port, size in reserved_bytes(ctx, found.used_by_port).items()
        if port != request.port
    }
    less = sum(now.values()) - sum(found.reserved_by_port.values())
    found = found._replace(reserved_by_port=now, available_bytes=found.available_bytes - less)
    if not found.fits and not (request.evict and found.unload and less <= 0):
        raise not_enough_memory(found._replace(unload=()))


def memory_refusal(plan: LoadPlan) -> Optional[NotEnoughMemory]:
    """The error of a planned load that does not fit and neither forces nor evicts."""
    fit, request = plan.fit, plan.request
    spared = fit is None or fit.fits or request.force or (request.evict and fit.unload)
    return None if fit is None or spared else not_enough_memory(fit)
