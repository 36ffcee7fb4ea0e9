"""Check whether a model fits into the available memory, and which servers to unload if not."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..context import Context
from ..errors import MlxopsError, NotEnoughMemory, mlxops_command
from ..jobs.reservations import reserved_bytes
from ..ports.evidence import Server
from ..ports.observe import find_servers, foreign_servers
from ..ports.survey import survey
from ..procs import Memory
from .arguments import Settings
from .config import context_length
from .estimate import Estimate, ExtraModel, Model, context_tokens, estimate, largest_context
from .kvcache import CountedCache, count_cache

MAX_CHOICES = 50_000


class MemoryRequest(NamedTuple):
    """A model that is to be served: `settings` of its `args`, `context_tokens` or None, `port` and
    `home` those whose servers would go, `extra_models` that are loaded beside it. `cache` None: it
    is counted from the config. `name`: for messages."""

    weights_bytes: int
    config: Mapping[str, Any]
    runtime: str
    settings: Settings = Settings()
    cache: Optional[CountedCache] = None
    context_tokens: Optional[int] = None
    port: Optional[int] = None
    home: Optional[int] = None
    extra_models: Tuple[ExtraModel, ...] = ()
    name: str = "it"


class Fit(NamedTuple):
    """The estimate and the memory of the machine. `used_by_port`: port -> bytes of its servers;
    `own_context`: the context of the model, if known.

    `unload`: the fewest ports to unload so that it fits, () if it fits already or even all are too
    few. `not_evictable`: port -> why its server cannot be unloaded now. `evictable_bytes`: used by
    those that can be. `name`: the model; `names`: port -> the entry there."""

    sum: Estimate
    context_why: str
    own_context: Optional[int]
    largest_context: Optional[int]
    memory: Memory
    used_by_port: Mapping[int, int]
    reserved_by_port: Mapping[int, int]
    available_bytes: int
    unload: Tuple[int, ...]
    not_evictable: Mapping[int, str]
    evictable_bytes: int = 0
    settings: Settings = Settings()
    name: str = "it"
    names: Mapping[int, str] = {}

    @property
    def fits(self) -> bool:
        return self.sum.need_bytes <= self.available_bytes

    def record(self) -> Dict[str, Any]:
        """The keys of the JSON output."""
        return {
            "fits": self.fits,
            "need_bytes": self.sum.need_bytes,
            **self.sum._asdict(),
            "second_models": list(self.sum.second_models),
            "max_requests": self.settings.requests,
            "max_kept_prompts": self.settings.prompts,
            "context_why": self.context_why,
            "model_context_tokens": self.own_context,
            "largest_context_tokens": self.largest_context,
            "total_bytes": self.memory.total_bytes,
            "wired_limit_bytes": self.memory.wired_limit_bytes,
            "free_bytes": self.memory.available_bytes,
            "held_bytes": dict(self.used_by_port),
            "promised_bytes": dict(self.reserved_by_port),
            "available_bytes": self.available_bytes,
            "unload": list(self.unload),
            "names": dict(self.names),
            "kept": dict(self.not_evictable),
        }


class MemoryUse(NamedTuple):
    """The memory of the machine, and who uses it or will. Sizes in bytes.

    `by_port`: of this user's servers. `others`: of other users' servers; they wire memory too, and
    are never unloaded. `reserved`: what running loads need beyond what their ports use."""

    memory: Memory
    by_port: Mapping[int, int]
    others: int
    reserved: Mapping[int, int]

    def room(self, port: Optional[int], home: Optional[int] = None) -> int:
        """What is available once the servers of these ports have stopped and all loads in progress
        have what they need."""
        own = sum(size for there, size in self.by_port.items() if there in (port, home))
        room = self.memory.available_bytes + own
        if self.memory.wired_limit_bytes is not None:
            free = self.memory.wired_limit_bytes - self.others - sum(self.by_port.values())
            room = min(room, free + own)
        return room - sum(size for there, size in self.reserved.items() if there != port)

    @property
    def limit(self) -> int:
        """What this user's servers may use together."""
        return self.room(None) + sum(self.by_port.values())


def memory_use(ctx: Context) -> MemoryUse:
    """Measure the memory and its use; Unobservable if that fails."""
    memory, table = ctx.procs.memory(), ctx.procs.processes()
    by_port = _measure(ctx, find_servers(table, ctx.site.runtimes))
    others = _measure(ctx, foreign_servers(table, ctx.site.runtimes))
    return MemoryUse(
        memory=memory,
        by_port=by_port,
        others=sum(others.values()),
        reserved=reserved_bytes(ctx, by_port),
    )


def fit(ctx: Context, asked: MemoryRequest) -> Fit:
    """Compare the estimate for a model with the available memory; Unobservable if that is
    unknown."""
    use = memory_use(ctx)
    memory, used_by_port, room = use.memory, use.by_port, use.room(asked.port, asked.home)
    model = Model(
        weights_bytes=asked.weights_bytes,
        config=asked.config,
        runtime=asked.runtime,
        fused=memory.wired_limit_bytes is not None,
        cache=asked.cache or count_cache(asked.config),
        settings=asked.settings,
    )
    tokens, why = context_tokens(asked.config, asked.settings, asked.context_tokens, asked.runtime)
    beside = asked.extra_models
    sums = estimate(model, tokens, beside)
    beyond = {
        p: size
        for p, size in used_by_port.items()
        if p in ctx.site.ports and p not in (asked.port, asked.home)
    }
    obstacles = _obstacles(ctx, beyond) if sums.need_bytes > room else {}
    others = {p: size for p, size in beyond.items() if p not in obstacles}
    return Fit(
        sum=sums,
        context_why=why,
        own_context=context_length(asked.config),
        largest_context=largest_context(model, room, beside),
        memory=memory,
        used_by_port=used_by_port,
        reserved_by_port={p: size for p, size in use.reserved.items() if p != asked.port},
        available_bytes=room,
        unload=fewest_ports(others, sums.need_bytes - room),
        not_evictable=obstacles,
        evictable_bytes=sum(others.values()),
        settings=asked.settings,
        name=asked.name,
        names=_names(ctx),
    )


def _names(ctx: Context) -> Dict[int, str]:
    """port -> the entry that is assigned to it; {} if the registry cannot be read."""
    try:
        entries = ctx.store.read().entries.values()
    except MlxopsError:
        return {}
    return {entry.port: entry.name for entry in entries if entry.port is not None}


def not_enough_memory(found: Fit) -> NotEnoughMemory:
    """The error for a model that does not fit, with what to unload."""
    text = "%s needs %s of memory, but only %s is available" % (
        found.name,
        format_gib(found.sum.need_bytes),
        format_gib(found.available_bytes),
    )
    if found.evictable_bytes and not found.unload:
        most = format_gib(found.available_bytes + found.evictable_bytes)
        text += ", and %s with every other port unloaded" % most
    if found.reserved_by_port:
        loading = ", ".join("port %d" % port for port in sorted(found.reserved_by_port))
        text += "; %s is reserved by the load in progress on %s" % (
            format_gib(sum(found.reserved_by_port.values())),
            loading,
        )
    if found.not_evictable:
        text += "; " + "; ".join(
            "port %d cannot be unloaded now: %s" % pair
            for pair in sorted(found.not_evictable.items())
        )
    steps = " && ".join(mlxops_command("unload", port) for port in found.unload)
    hint = "%s, or load with --evict" % steps if steps else "use a smaller model or context"
    if found.not_evictable and not steps:
        hint += ", or retry once port %s can be unloaded" % ", ".join(
            map(str, sorted(found.not_evictable))
        )
    return NotEnoughMemory(text, hint + "; --force loads anyway", **found.record())


def fewest_ports(held: Mapping[int, int], short: int) -> Tuple[int, ...]:
    """The fewest ports that use this much together, of these the ones that use the least; () if
    even all use less.

    With too many combinations to try, the largest ports are chosen."""
    if short <= 0 or sum(held.values()) < short:
        return ()
    largest = sorted(held, key=lambda p: -held[p])
    count = next(n for n in range(1, len(held) + 1) if sum(held[p] for p in largest[:n]) >= short)
    if comb(len(held), count) > MAX_CHOICES:
        return tuple(sorted(largest[:count]))
    enough = (
        some for some in combinations(sorted(held), count) if sum(held[p] for p in some) >= short
    )
    return min(enough, key=lambda some: sum(held[p] for p in some))


def _measure(ctx: Context, servers_by_port: Mapping[int, Sequence[Server]]) -> Dict[int, int]:
    """port -> bytes that its servers use."""
    return {
        port: sum(ctx.procs.footprint(s.processes) or 0 for s in servers)
        for port, servers in servers_by_port.items()
    }


def _obstacles(ctx: Context, ports: Iterable[int]) -> Dict[int, str]:
    """port -> why its server cannot be stopped now."""
    obstacles = {}
    for port in ports:
        try:
            stranger = survey(ctx, port, own_lock=False).unregistered_server
        except MlxopsError as exc:
            obstacles[port] = exc.message
        else:
            if stranger is not None:
                values = (stranger.process.pid, mlxops_command("unload", port))
                obstacles[port] = (
                    "its server, pid %d, is not in the registry (stop it with: %s)" % values
                )
    return obstacles


def format_gib(size: int) -> str:
    """Memory with three digits."""
    if size < 1 << 27:
        return "%.0f MiB" % (size / (1 << 20))
    gib = size / (1 << 30)
    return "%.*f GiB" % (2 if gib < 9.995 else 1 if gib < 99.95 else 0, gib)
