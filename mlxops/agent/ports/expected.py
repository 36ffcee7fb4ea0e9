"""What the registry and the host file expect on a port, for its diagnosis."""

from __future__ import annotations

import os
from typing import Iterable, Tuple

from ..context import Context
from ..jobs.starts import supervision_of
from ..registry.entries import Registry
from ..site import Site
from .diagnosis import Expected


def expected(ctx: Context, registry: Registry, port: int) -> Expected:
    """The assigned entries, the name clients use, and the entries whose snapshots are missing."""
    known = expect(ctx.site, registry, port, missing_snapshots(registry, [port]))
    if not known.lost:
        return known
    supervision = supervision_of(ctx.procs, ctx.site.state_dir, port, known.lost[0].name)
    return known._replace(supervision=supervision)


def missing_snapshots(registry: Registry, ports: Iterable[int]) -> Tuple[str, ...]:
    """The entries, assigned to one of the ports or lost there, whose snapshots are missing."""
    entries = [e for port in ports for e in (*registry.holders(port), *registry.lost(port))]
    return tuple(e.name for e in entries if e.cache_path and not os.path.isdir(e.cache_path))


def expect(site: Site, registry: Registry, port: int, missing: Iterable[str] = ()) -> Expected:
    """The same, without a look at the disk. `missing`: entries whose snapshots are missing."""
    entries, lost = registry.holders(port), registry.lost(port)
    names = {e.name for e in (*entries, *lost)}
    return Expected(
        entries=entries,
        served_name=site.served_name(port, entries[0].name) if entries else None,
        missing=tuple(name for name in missing if name in names),
        lost=lost,
    )
