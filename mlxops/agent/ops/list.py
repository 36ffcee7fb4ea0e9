"""list: the entries of the registry."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..context import Context
from .rows import entry_row


def list_entries(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    registry = ctx.store.read()
    lost = {
        entry.name
        for port in ctx.site.ports
        for entry in registry.lost(port)
        if not registry.holders(port)
    }
    return {
        "models": [
            {**entry_row(entry), "lost": entry.name in lost} for entry in registry.entries.values()
        ]
    }
