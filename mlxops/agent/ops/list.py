"""list: the entries of the registry, sorted by name."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..context import Context
from ..models.completeness import Damage, recall_damage
from ..registry.entries import Entry
from .rows import elsewhere, entry_row, fault_fields


def list_entries(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    registry, fault = ctx.store.read_or_backup()
    damaged = recall_damage(ctx.site.state_dir)
    lost = {
        entry.name
        for port in ctx.site.ports
        for entry in registry.lost(port)
        if not registry.holders(port)
    }
    entries = sorted(registry.entries.values(), key=lambda entry: (entry.name.lower(), entry.name))
    return {
        "models": [
            {
                **_row(ctx, entry, damaged),
                "slot_name": ctx.site.slot_name(entry.slot) if entry.slot else None,
                "lost": entry.name in lost,
            }
            for entry in entries
        ],
        **fault_fields(registry, fault),
    }


def _row(ctx: Context, entry: Entry, damaged: Damage) -> Dict[str, Any]:
    row = entry_row(entry, damaged)
    return row if entry.cache_path else {**row, "problem": elsewhere(ctx, entry) or None}
