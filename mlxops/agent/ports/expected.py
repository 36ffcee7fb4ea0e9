"""What the registry and the host file expect on a port, for its diagnosis."""

from __future__ import annotations

import os

from ..context import Context
from ..registry.entries import Registry
from .diagnosis import Expected


def expected(ctx: Context, registry: Registry, port: int) -> Expected:
    """The assigned entries, the name clients use, and the entries whose snapshots are missing."""
    entries = registry.holders(port)
    lost = registry.lost(port)
    missing = tuple(
        e.name for e in (*entries, *lost) if e.cache_path and not os.path.isdir(e.cache_path)
    )
    served = ctx.site.served_name(port, entries[0].name) if entries else None
    return Expected(entries, served, missing, lost)
