"""What a load without --dry-run would do."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from ..hub.checks import size_text
from ..servers.pace import pace
from ..servers.vacate import stopped
from . import evict
from .request import Preparation


def actions(prepared: Preparation) -> List[Dict[str, Any]]:
    """What a load without --dry-run would do."""
    order, entry, ground = prepared.order, prepared.entry, prepared.ground
    steps: List[Tuple[str, Optional[str], int, str]] = []
    if prepared.remote:
        download = "%s, %s" % (prepared.remote.repo_id, size_text(prepared.remote.missing_bytes))
        steps.append(("download", entry.name, order.port, download))
    steps += [("evict", name, port, why) for port, name, why in evict.planned(prepared)]
    occupant = ground.entries[0].name if ground.entries else None
    steps += [("stop", occupant, order.port, why) for why in stopped(ground)]
    usual = pace(entry, prepared.runtime, None, None).expected_s
    start = "%s with %s" % (prepared.runtime.name, entry.cache_path or entry.repo_id)
    steps.append(
        ("start", entry.name, order.port, start + (", usually %.0f s" % usual if usual else ""))
    )
    return [
        {"action": a, "entry": name, "port": p, "reason": why, "applied": False}
        for a, name, p, why in steps
    ]
