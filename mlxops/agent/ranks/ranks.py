"""A model on several hosts: which they are, how its ranks find each other, and what is on record of
them. Pure.

MLX's own engine runs one process per host, a rank; the ring backend joins them
(mlx/_distributed_utils/launch.py)."""

from __future__ import annotations

import json
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import Failed, mlxops_command
from ..registry.entries import Entry
from ..registry.fields import HOST_NAME, MAX_HOSTS
from ..runtimes.table import Runtime

Check = Callable[[], None]
# One port of its own for each rank, below those that systems hand out by themselves.
FIRST_RING_PORT = 10000


class Rank(NamedTuple):
    """A rank that runs, or ran, on another host. `at` is its address in the ring."""

    number: int
    host: str
    pid: int
    start_time: str
    at: str


class RankState(NamedTuple):
    """A rank and whether it is running; None if its host could not be asked, with the reason in
    `why`."""

    rank: Rank
    alive: Optional[bool]
    why: str = ""

    @property
    def text(self) -> str:
        return "pid %d on %s" % (self.rank.pid, self.rank.host)


def hosts(entry: Entry) -> Tuple[Tuple[str, str], ...]:
    """(ssh name, address) of each host, this one first; () for a model of one host."""
    pairs = [str(word).partition("=") for word in entry.fields.get("hosts") or ()]
    return tuple((name, address) for name, _, address in pairs)


def shard_count(entry: Entry) -> int:
    """The number of hosts that share the weights."""
    return max(1, len(hosts(entry)))


def require_able_runtime(entry: Entry, runtime: Runtime) -> None:
    """Failed if the entry has several hosts and its runtime serves from one only."""
    if hosts(entry) and not runtime.runs_ranks:
        text = "%s cannot run a model on several hosts" % runtime.name
        hint = mlxops_command("set", entry.name, "runtime=mlx_lm.server")
        raise Failed(text, hint, entry=entry.name)


def ring_addresses(entry: Entry, port: int) -> List[str]:
    """The address of each rank in the ring, for a model served on `port`."""
    first = FIRST_RING_PORT + port % 1000 * MAX_HOSTS
    return ["%s:%d" % (address, first + number) for number, (_, address) in enumerate(hosts(entry))]


def hostfile(addresses: Sequence[str]) -> str:
    """The content of MLX_HOSTFILE: a list of addresses per rank."""
    return json.dumps([[address] for address in addresses])


def recorded_ranks(entry: Entry) -> Tuple[Rank, ...]:
    """The other hosts' ranks that an entry records; invalid rows are skipped."""
    rows = (entry.process or {}).get("ranks")
    ranks = [_rank(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(rank for rank in ranks if rank)


def has_malformed_ranks(entry: Entry) -> bool:
    """Whether the record has invalid rows: a rank that cannot be identified may be running."""
    rows = (entry.process or {}).get("ranks")
    return rows is not None and not (
        isinstance(rows, list) and len(rows) == len(recorded_ranks(entry))
    )


def _rank(row: Mapping[str, Any]) -> Optional[Rank]:
    kinds = {"number": int, "host": str, "pid": int, "start_time": str, "at": str}
    plain = all(type(row.get(key)) is kind for key, kind in kinds.items()) and HOST_NAME.fullmatch(
        row["host"]
    )
    return Rank(**{key: row[key] for key in kinds}) if plain else None
