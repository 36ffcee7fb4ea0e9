"""Every check a load has to pass before anything is touched."""

from __future__ import annotations

from typing import Optional, Tuple, Union

from ..context import Context
from ..errors import AssignmentConflict, Failed, ModelMissing, NeedsConsent, PortBusy, pasteable
from ..hub import download as fetch
from ..hub.checks import check_disk, check_whole, size_text
from ..hub.remote import Remote
from ..jobs.reservations import refuse_taken
from ..memory import fit as memory
from ..models import cache as hfcache
from ..models import files as modelfiles
from ..models import wholeness
from ..models.flags import check_built, choose
from ..models.location import place
from ..models.suggest import Installed
from ..ports.expected import wanted
from ..ports.survey import Ground, survey
from ..ports.verdict import judge
from ..programs import find as programs
from ..programs.environment import packages
from ..ranks import ranks, ring
from ..registry import resolve
from ..registry.entries import REQUIRED, Entry, Registry
from ..registry.init_plan import free_name
from ..runtimes.table import Runtime, offered
from ..servers.respawn import refuse_restarted
from ..servers.start import Service
from . import buildable, entrance, options, presence, references
from .memory import check
from .options import Asked
from .request import Order, Preparation, no_way_back
from .restart import Lost, way_back


def prepare(ctx: Context, order: Order, own_lock: bool) -> Preparation:
    """The load as it would be done now; raises the first reason why it cannot be."""
    ctx.site.need_port(order.port)
    entry = entry_meant(ctx, ctx.store.read(), order)
    if not own_lock:
        _tell_meant(ctx, order, entry)
    refuse_taken(ctx, [entry.name], order.port)
    check_assignment(entry, order)
    runtime = ctx.site.runtime_named(entry.text("runtime"))
    words = programs.command(ctx.site, runtime)
    text = programs.help_text(runtime, words, ctx.site.state_dir, ctx.say, ctx.client.check)
    flags = offered(text)
    # Of a model that is still to be downloaded nothing is known yet: load chooses for it once it is
    # there.
    there = Installed(runtime, flags, tuple(packages(words)))
    warnings: Tuple[str, ...] = ()
    whole, notes = presence.usable(entry.cache_path, order.force), warnings
    if whole:
        warnings = presence.doubts(ctx.store.read(), entry)
        entry, notes = choose(ctx.site, entry, there, order.force)
    warnings += options.check(ctx, entry, order.port, Asked(runtime, words, text))
    references.check(ctx, runtime, entry, order.port)
    ground = survey(ctx, order.port, own_lock)
    wanting = _serves_exactly(ctx, ground, entry)
    found = Preparation(
        order=order,
        entry=entry,
        remote=None,
        runtime=runtime,
        words=words,
        ground=ground,
        done=wanting == "" and not order.replace,
        warnings=warnings,
    )
    if found.done:
        return found
    _check_occupant(ground, order, entry, wanting)
    refuse_restarted(ctx, ground)
    entrance.check(ctx, ground)
    previous = _way_back(ctx, ground, order)
    remote = None if whole else _remote(ctx, entry, words, order)
    if remote is not None:
        entry = _spelled(entry, remote)
        if remote.config and not order.force:
            check_built(entry, there, remote.config)
    _check_hosts(ctx, entry, order, runtime, remote)
    asked = asked_of(ctx, entry, remote, runtime, order.port)
    fit, said = check(ctx, asked, order)
    buildable.check(ctx, entry, found)
    told = notes + warnings + said
    return found._replace(
        entry=entry, remote=remote, warnings=told, asked=asked, fit=fit, previous=previous
    )


def entry_meant(ctx: Context, registry: Registry, order: Order) -> Entry:
    """The entry meant, or a new one for a repository named in full."""
    entry = resolve.find(registry, order.model)
    if entry is None and not resolve.is_repo_id(order.model):
        raise resolve.unknown(registry, order.model)
    entry = entry or _new_entry(ctx, registry, order.model)
    entry = entry.with_fields(revision=order.revision) if order.revision else entry
    return presence.located(ctx, entry, order)


def _tell_meant(ctx: Context, order: Order, entry: Entry) -> None:
    """Which entry was found for a part of a name: a slip must not start a server without a word."""
    names = [name.lower() for name in (entry.name, entry.repo_id, entry.model_id)]
    if order.model.lower() not in names:
        ctx.say("%s -> %s (%s)" % (order.model, entry.name, entry.repo_id or entry.cache_path))


def _new_entry(ctx: Context, registry: Registry, repo_id: str) -> Entry:
    name = free_name(registry, repo_id, ctx.site.slot_names)
    repo_id = hfcache.spelling(ctx.site.hf_home, ctx.site.cache_root, repo_id)
    return Entry(name, {**REQUIRED, "repo_id": repo_id, "model_id": repo_id})


def check_assignment(entry: Entry, order: Order) -> None:
    """AssignmentConflict where the entry is, or is planned to be, on another port."""
    if entry.port not in (None, order.port):
        raise AssignmentConflict(
            "%s is assigned to port %d" % (entry.name, entry.port or 0),
            "mlxops unload %d, then load it again" % (entry.port or 0),
            entry=entry.name,
            port=entry.port,
        )
    if entry.slot not in (None, order.port) and not order.force:
        raise AssignmentConflict(
            "%s is planned for port %d: on %d clients would find it under another name"
            % (entry.name, entry.slot or 0, order.port),
            pasteable("load", entry.name, entry.slot) + ", or add --force",
            entry=entry.name,
            slot=entry.slot,
        )


def _serves_exactly(ctx: Context, ground: Ground, entry: Entry) -> Optional[str]:
    """None where the port is to serve something else than the entry as it is now; else why it does
    not, "" where it does."""
    if [(e.name, place(e.cache_path)) for e in ground.entries] != [
        (entry.name, place(entry.cache_path))
    ]:
        return None
    verdict = judge(ground.seen, wanted(ctx, ground.registry, ground.seen.port))
    if verdict.state == "ready" and verdict.drift in (None, "unrecorded", "stray"):
        return ""
    return "%s: %s" % (verdict.drift or verdict.state, verdict.reason)


def _check_occupant(ground: Ground, order: Order, entry: Entry, wanting: Optional[str]) -> None:
    """`wanting`: why the occupant, which is the entry itself, does not serve as it should."""
    if ground.server is None or order.replace or order.dry_run:
        return
    occupant = ground.entries[0].name if ground.entries else ground.server.invocation.model
    text, hint = "port %d serves %s" % (order.port, occupant), "add --replace to swap it"
    if wanting:
        text = "port %d: %s is there, but not as it should be: %s" % (order.port, occupant, wanting)
        hint = "%s restarts it" % order._replace(replace=True).again
    pid = ground.server.process.pid
    raise PortBusy(text, hint, port=order.port, occupant=occupant, pid=pid, entry=entry.name)


def _way_back(ctx: Context, ground: Ground, order: Order) -> Union[Service, Lost, None]:
    """What would bring the occupant back; PortBusy where nothing would, unless the order does
    without."""
    if ground.server is None:
        return None
    found = way_back(ctx, order.port, ground.server, ground.entries[0] if ground.entries else None)
    if isinstance(found, Lost) and order.rollback and not order.dry_run:
        raise no_way_back(found, order)
    return found


def _remote(ctx: Context, entry: Entry, words: Tuple[str, ...], order: Order) -> Remote:
    """What has to be downloaded, after everything that speaks against it was checked."""
    presence.refuse_unasked(entry, order)
    remote = described(ctx, entry, words)
    check_disk(remote, ctx.site.cache_root)
    check_whole(remote, order.force)
    size = size_text(remote.missing_bytes)
    ctx.say("%s: %s to download" % (remote.repo_id, size))
    if (
        order.ask_above_bytes is not None
        and remote.missing_bytes > order.ask_above_bytes
        and not order.dry_run
    ):
        raise NeedsConsent(
            "%s is not on this host: %s to download" % (remote.repo_id, size),
            "add --yes to download without asking",
            repo_id=remote.repo_id,
            size_bytes=remote.size_bytes,
            missing_bytes=remote.missing_bytes,
        )
    return remote


def _spelled(entry: Entry, remote: Remote) -> Entry:
    """A new entry's repository as the cache or the Hub spells it."""
    if entry.cache_path or entry.repo_id == remote.repo_id:
        return entry
    return entry.with_fields(repo_id=remote.repo_id)


def remote_of(ctx: Context, entry: Entry, words: Tuple[str, ...]) -> Optional[Remote]:
    """What would have to be downloaded; None when the snapshot is whole. Nothing is fetched but its
    config.json."""
    if presence.usable(entry.cache_path):
        return None
    if not resolve.is_repo_id(entry.repo_id):
        raise ModelMissing(
            "%s cannot be loaded: %s"
            % (entry.name, presence.trouble(entry.cache_path) or "it has no path"),
            pasteable("set", entry.name, "cache_path=PATH"),
            entry=entry.name,
        )
    return described(ctx, entry, words)


def described(ctx: Context, entry: Entry, words: Tuple[str, ...]) -> Remote:
    """What the Hub says of the entry's repository, under the name that its folder in the cache
    has."""
    python = fetch.interpreter(ctx.site, words)
    repo_id = hfcache.spelling(ctx.site.hf_home, ctx.site.cache_root, entry.repo_id)
    ctx.say("asking the Hub for %s" % repo_id)
    return fetch.describe(
        python,
        repo_id,
        entry.text("revision"),
        ctx.site.cache_root,
        lambda: ctx.client.cancelled,
    )


def _check_hosts(
    ctx: Context, entry: Entry, order: Order, runtime: Runtime, remote: Optional[Remote]
) -> None:
    if ranks.hosts(entry) and remote is not None:
        text = (
            "%s is not whole on this host, and a model of several hosts has to be on all of them"
            % entry.name
        )
        raise Failed(text, "on each of them: hf download %s" % entry.repo_id, entry=entry.name)
    if ranks.hosts(entry) and wholeness.stale_index(entry.cache_path):
        text = "%s: its index names other files than there are, and a model of several hosts is divided by it"
        raise Failed(
            text % entry.name,
            "download it again, or write a new %s" % modelfiles.INDEX,
            entry=entry.name,
        )
    ring.check(
        ctx, entry, order.port, runtime, hfcache.weights_bytes(entry.cache_path), order.force
    )


def asked_of(
    ctx: Context, entry: Entry, remote: Optional[Remote], runtime: Runtime, port: Optional[int]
) -> Optional[memory.Asked]:
    """What a load asks of memory, from the Hub's word or from the snapshot; None where its weights
    have no size."""
    weights = (
        remote.weights_bytes if remote is not None else hfcache.weights_bytes(entry.cache_path)
    )
    config = remote.config if remote is not None else modelfiles.config(entry.cache_path)
    if weights is None:
        return None
    beside = references.seconds(ctx, runtime, entry, port)
    return memory.Asked(
        weights_bytes=weights // ranks.share(entry),
        config=config,
        runtime=runtime.name,
        args=entry.args,
        port=port,
        seconds=beside,
    )
