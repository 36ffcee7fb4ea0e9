"""doctor: check everything on the host that mlxops depends on."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping

from ..context import Context
from ..doctor import (
    agent as own,
)
from ..doctor import (
    folders,
    locks,
    machine,
    ports,
    sizes,
    trials,
)
from ..doctor import (
    leftovers as remains,
)
from ..doctor import (
    registry as records,
)
from ..doctor import (
    runtimes as servers,
)
from ..doctor.finding import Check, Finding, run_check
from ..doctor.fix import apply_fix

CHECKS: Mapping[str, Check] = {
    "interpreter": own.interpreter,
    "state folder": folders.state,
    "agent cache": own.cache,
    "folders": folders.shared_folders,
    "registry": records.registry,
    "registry writes": trials.writes,
    "registry keys": trials.keys,
    "assignments": records.assignments,
    "snapshots": records.snapshots,
    "registry lock": locks.registry_lock,
    "port locks": locks.port_locks,
    "runtime": servers.runtime,
    "entries": servers.entries,
    "api keys": servers.api_keys,
    "huggingface_hub": servers.hub,
    "hub": servers.hub_settings,
    "disk": machine.disk,
    "memory": machine.memory,
    "processes": machine.process_visibility,
    "ports": ports.ports,
    "slots": ports.slots,
    "foreign listeners": machine.foreign_listeners,
    "launchd jobs": machine.launchd,
    "leftovers": remains.leftovers,
    "kept files": sizes.sizes,
}


def doctor(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    # First of all: the client compares it with its own clock.
    ctx.client.emit("clock", now=time.time())
    findings = {name: _run(ctx, name) for name in CHECKS}
    fixes = [
        (name, fix)
        for name, rows in findings.items()
        for row in rows
        for fix in row.fixes
        if args.get("fix")
    ]
    dry = bool(args.get("dry_run"))
    actions = [apply_fix(fix, dry) for _, fix in fixes]
    if not dry:
        findings.update({name: _run(ctx, name) for name, _ in fixes})
    return {
        "checks": [row.to_wire() for rows in findings.values() for row in rows],
        "actions": actions,
    }


def _run(ctx: Context, name: str) -> List[Finding]:
    ctx.client.check()
    return run_check(ctx, name, CHECKS[name])
