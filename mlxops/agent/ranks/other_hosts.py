"""One model on several hosts, as the other rooms see it: for a model on one host all of it is
empty.

No other module of this room is imported from outside, except by the verb `rank`."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ..background import BackgroundCall
from ..clock import Deadline
from ..registry.entries import Entry
from ..wire import codec
from .ranks import (
    Check,
    Rank,
    RankState,
    has_malformed_ranks,
    hosts,
    recorded_ranks,
    ring_addresses,
)
from .ranks import require_able_runtime as require_able_runtime
from .ranks import shard_count as shard_count

if TYPE_CHECKING:
    from ..context import Context
    from ..runtimes.table import Runtime
    from ..site import Site
    from .peers import RemoteAgent


class OtherHosts(NamedTuple):
    """A port's processes on other hosts, as observed. `malformed`: entries whose record of them
    cannot be read."""

    states: Tuple[RankState, ...] = ()
    malformed: Tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.states or self.malformed)

    @property
    def unknown(self) -> Tuple[str, ...]:
        """Why it is not known whether some of them live."""
        text = "process.ranks of %s is not a list of ranks"
        return (
            *(state.why for state in self.states if state.alive is None),
            *(text % name for name in self.malformed),
        )

    @property
    def proven_gone(self) -> bool:
        return not self.malformed and all(state.alive is False for state in self.states)

    @property
    def alive(self) -> Tuple[str, ...]:
        """PID on HOST of each that lives."""
        return tuple(state.text[len("pid ") :] for state in self.states if state.alive)

    @property
    def dead(self) -> str:
        """The first that is gone, in words; "" if none is."""
        return next((state.text for state in self.states if state.alive is False), "")

    @property
    def text(self) -> str:
        return ", ".join(state.text for state in self.states)

    def mismatch(self, entry: Entry) -> str:
        """How the hosts in use differ from those of the entry; "" if they do not."""
        used = [state.rank.host for state in self.states]
        planned = [name for name, _ in hosts(entry)[1:]]
        if used == planned:
            return ""
        return "it also runs on %s; the entry says %s" % (
            used or "no other host",
            planned or "none",
        )

    def to_wire(self) -> Dict[str, Any]:
        rows = [{"host": s.rank.host, "pid": s.rank.pid, "alive": s.alive} for s in self.states]
        return {"ranks": rows or None}

    def stop(self, ctx: Context, port: int, grace_s: float) -> None:
        """Stop all of them, with proof. After Ctrl-C, silent hosts are no longer waited for."""
        if self.states:
            from .ring import stop_ranks

            ranks = [state.rank for state in self.states]
            stop_ranks(ctx, ranks, port, grace_s, lambda: ctx.client.cancelled)


def observe(site: Site, entries: Sequence[Entry], check: Check) -> Callable[[], OtherHosts]:
    """Ask the other hosts of these entries in the background; the result waits for their answers.

    `check` is called meanwhile, and may raise."""
    ranks = [rank for entry in entries for rank in recorded_ranks(entry)]
    malformed = tuple(entry.name for entry in entries if has_malformed_ranks(entry))
    if not ranks:
        return lambda: OtherHosts((), malformed)
    from .peers import rank_states

    states = BackgroundCall(partial(rank_states, site, ranks, check))
    return lambda: OtherHosts(states.wait(), malformed)


class RemoteStart:
    """What one start runs on other hosts. check() calls the start's own `check` as well."""

    def __init__(
        self,
        check: Check,
        addresses: Sequence[str] = (),
        ranks: Sequence[Tuple[Rank, RemoteAgent]] = (),
    ) -> None:
        self._check = check
        self._addresses = addresses
        self._ranks = tuple(rank for rank, _ in ranks)
        self._agents = [agent for _, agent in ranks]
        self._ends: List[BackgroundCall[Any]] = []

    def environment(self, state_dir: str, port: int) -> Dict[str, str]:
        """Variables for rank 0, the server on this host."""
        if not self._addresses:
            return {}
        from .ring import environment

        return environment(state_dir, str(port), 0, self._addresses)

    def record(self) -> Dict[str, Any]:
        """What the registry keeps of them."""
        return {"ranks": [rank._asdict() for rank in self._ranks]} if self._ranks else {}

    def release(self) -> None:
        """Let them start, once they are on record."""
        for agent in self._agents:
            agent.send(codec.START)
        self._ends = [
            BackgroundCall(partial(agent.result, Deadline(float("inf")))) for agent in self._agents
        ]

    def check(self) -> None:
        """Raise what `check` raises, or the error with which a rank has ended."""
        self._check()
        for end in self._ends:
            if end.done():
                end.value()

    def abandon(self) -> None:
        """Stop watching them; those that were not released end."""
        for agent in self._agents:
            agent.kill()

    def stop(self, ctx: Context, port: int, grace_s: float) -> None:
        """Stop all of them, with proof."""
        if self._ranks:
            from .ring import stop_ranks

            stop_ranks(ctx, self._ranks, port, grace_s)


@contextlib.contextmanager
def gated(ctx: Context, entry: Optional[Entry], port: int, check: Check) -> Iterator[RemoteStart]:
    """The entry's ranks on other hosts, each waiting at its gate; those that are not released end
    with the context. `check` is called until all are there, and may raise."""
    if entry is None or not hosts(entry):
        yield RemoteStart(check)
        return
    from .ring import gate_ranks

    with contextlib.ExitStack() as stack:
        ranks = gate_ranks(ctx, entry, port, check, stack)
        yield RemoteStart(check, ring_addresses(entry, port), ranks)


def require_startable(
    ctx: Context, entry: Entry, port: int, runtime: Runtime, complete: bool, force: bool
) -> None:
    """Raise the first reason why one of the entry's hosts could not start its part of the model.
    `complete`: the snapshot on this host."""
    if hosts(entry):
        from .ring import check_hosts

        check_hosts(ctx, entry, port, runtime, complete, force)


def are_recorded(entry: Entry) -> bool:
    """Whether the entry records processes on other hosts, readable or not."""
    return bool(recorded_ranks(entry)) or has_malformed_ranks(entry)
