"""What a load without --dry-run would do."""

from __future__ import annotations

from typing import Any, Dict, List

from ..hub.checks import format_size
from ..registry.action import Action
from ..servers.startup_time import estimate_startup
from ..servers.vacate import describe_occupants
from . import evict
from .request import LoadPlan


def planned_actions(plan: LoadPlan) -> List[Dict[str, Any]]:
    """What a load without --dry-run would do."""
    request, entry, ground = plan.request, plan.entry, plan.survey
    name, port = entry.name, request.port
    actions: List[Action] = []
    if plan.remote:
        download = "%s, %s" % (plan.remote.repo_id, format_size(plan.remote.missing_bytes))
        actions.append(Action("download", name, port, download))
    actions += [Action("evict", *eviction) for eviction in evict.planned_evictions(plan)]
    occupant = ground.entries[0].name if ground.entries else None
    actions += [Action("stop", occupant, port, why) for why in describe_occupants(ground)]
    usual = estimate_startup(entry, plan.runtime, None, None).expected_s
    start = "%s with %s" % (plan.runtime.name, entry.cache_path or entry.repo_id)
    start += ", usually %.0f s" % usual if usual else ""
    return [action.to_wire() for action in (*actions, Action("start", name, port, start))]
