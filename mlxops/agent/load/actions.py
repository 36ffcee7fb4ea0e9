"""What a load without --dry-run would do."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from ..hub.checks import format_size
from ..servers.startup_time import estimate_startup
from ..servers.vacate import describe_occupants
from . import evict
from .request import LoadPlan


def planned_actions(plan: LoadPlan) -> List[Dict[str, Any]]:
    """What a load without --dry-run would do."""
    request, entry, ground = plan.request, plan.entry, plan.survey
    steps: List[Tuple[str, Optional[str], int, str]] = []
    if plan.remote:
        download = "%s, %s" % (plan.remote.repo_id, format_size(plan.remote.missing_bytes))
        steps.append(("download", entry.name, request.port, download))
    steps += [("evict", name, port, why) for port, name, why in evict.planned_evictions(plan)]
    occupant = ground.entries[0].name if ground.entries else None
    steps += [("stop", occupant, request.port, why) for why in describe_occupants(ground)]
    usual = estimate_startup(entry, plan.runtime, None, None).expected_s
    start = "%s with %s" % (plan.runtime.name, entry.cache_path or entry.repo_id)
    steps.append(
        ("start", entry.name, request.port, start + (", usually %.0f s" % usual if usual else ""))
    )
    return [
        {"action": a, "entry": name, "port": p, "reason": why, "applied": False}
        for a, name, p, why in steps
    ]
