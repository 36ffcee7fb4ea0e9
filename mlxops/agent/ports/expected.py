"""What registry and host file say of a port, for the judge."""

from __future__ import annotations

import os

from ..context import Context
from ..registry.entries import Registry
from .verdict import Wanted


def wanted(ctx: Context, registry: Registry, port: int) -> Wanted:
    """The assigned entries, the name clients use, and which snapshots are gone."""
    entries = registry.holders(port)
    lost = registry.lost(port)
    missing = tuple(
        e.name for e in (*entries, *lost) if e.cache_path and not os.path.isdir(e.cache_path)
    )
    served = ctx.site.served_name(port, entries[0].name) if entries else None
    return Wanted(entries, served, missing, lost)
