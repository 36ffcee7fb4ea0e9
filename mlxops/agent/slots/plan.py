"""Plan how every port gets the model that should serve there. Pure."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from ..errors import MlxopsError, mlxops_command
from ..hub.checks import format_size
from ..memory.fit import format_gib
from ..ports.evidence import PortEvidence
from ..ports.expected import expect
from ..registry.entries import Registry
from ..site import Site
from ..wire.slots import slot_warnings
from .intent import PlanOptions, Target, find_targets, intent_warnings
from .judge import LOADS, Occupant, Verdict, blocked, judge, observe_occupant


class Check(NamedTuple):
    """What load's checks say of one port's target. `entry`: its name, also if it is new.
    `usual_start_s`: None if it never started. `error`: why it cannot be loaded."""

    entry: Optional[str] = None
    need_bytes: Optional[int] = None
    download_bytes: int = 0
    usual_start_s: Optional[float] = None
    error: Optional[MlxopsError] = None


class Sizes(NamedTuple):
    """What was measured for a plan. `checks`: of the ports that get a step. `used_by_port`: the
    memory of every port's servers.

    `limit_bytes`: what all model servers together may use, None if unknown. `missing`: entries
    whose snapshots are missing."""

    checks: Mapping[int, Check] = {}
    used_by_port: Mapping[int, int] = {}
    limit_bytes: Optional[int] = None
    missing: Tuple[str, ...] = ()


class Row(NamedTuple):
    """One port of a plan. `live`: the entry that serves there, or the model of a server that no
    entry knows. `kind`: of an error, if it is blocked. `hint`: the next command.

    `after`: the ports whose steps must have ended before. `unload_first`: the port is unloaded
    before its own load, and so stands twice in the order. `need_bytes`: of the target, for a port
    that keeps its server what that uses."""

    port: int
    slot_name: Optional[str]
    declared: Optional[str]
    wanted: Optional[str]
    entry: Optional[str]
    live: Optional[str]
    state: str
    drift: Optional[str]
    verdict: str
    kind: Optional[str]
    reason: str
    hint: str
    after: Tuple[int, ...] = ()
    unload_first: bool = False
    need_bytes: Optional[int] = None
    download_bytes: int = 0
    usual_start_s: Optional[float] = None


class PlannedMemory(NamedTuple):
    """The memory of all model servers. `peak_bytes`: the most at any moment of the plan.

    `most_bytes`: the limit, None if unknown. `ports`: what each port uses in the end."""

    now_bytes: int
    peak_bytes: int
    most_bytes: Optional[int]
    fits: bool
    ports: Mapping[int, int]

    def to_wire(self) -> Dict[str, Any]:
        return {**self._asdict(), "ports": {str(p): size for p, size in self.ports.items()}}


class Plan(NamedTuple):
    """`rows` by port. `order`: ports, those of one group side by side; () if the memory does not
    suffice. `warnings`: one sentence each."""

    rows: Tuple[Row, ...]
    order: Tuple[Tuple[int, ...], ...]
    memory: PlannedMemory
    warnings: Tuple[str, ...]

    @property
    def changes(self) -> int:
        """How many ports get a step."""
        return sum(row.verdict in (*LOADS, "unload") for row in self.rows)

    def to_wire(self) -> Dict[str, Any]:
        return {
            "rows": [{**row._asdict(), "after": list(row.after)} for row in self.rows],
            "order": [list(group) for group in self.order],
            "memory": self.memory.to_wire(),
            "changes": self.changes,
            "warnings": list(self.warnings),
        }


def plan(
    site: Site,
    registry: Registry,
    evidence: Mapping[int, PortEvidence],
    sizes: Sizes,
    options: PlanOptions,
) -> Plan:
    """The plan for the ports of `options`. Without checks in `sizes` it is a draft, which says what
    must be checked.

    `evidence`: of all ports of the host."""
    targets = find_targets(site, registry, options)
    there = {
        port: observe_occupant(seen, expect(site, registry, port, sizes.missing))
        for port, seen in evidence.items()
    }
    verdicts = _verdicts(there, targets, sizes, options)
    rows = tuple(
        _row(site, registry, there[port], targets[port], verdicts[port], sizes)
        for port in sorted(options.ports)
    )
    steps = tuple(row.port for row in rows if verdicts[row.port].is_step)
    memory = _memory(rows, sizes)
    order = (steps,) if steps and memory.fits else ()
    warnings = [*slot_warnings(site.raw.get("slots", {})), *intent_warnings(site, registry)]
    return Plan(rows, order, memory, tuple(warnings))


def _verdicts(
    there: Mapping[int, Occupant],
    targets: Mapping[int, Target],
    sizes: Sizes,
    options: PlanOptions,
) -> Dict[int, Verdict]:
    verdicts = {port: judge(there[port], targets[port], options) for port in options.ports}
    for port, verdict in verdicts.items():
        if verdict.verdict in LOADS:
            verdict = _checked(verdict, targets[port], sizes.checks.get(port), sizes.limit_bytes)
            elsewhere = [p for p in sorted(there) if p != port and there[p].holds(targets[port])]
            verdicts[port] = _elsewhere(targets[port], elsewhere[0]) if elsewhere else verdict
    return verdicts


def _checked(
    verdict: Verdict, target: Target, check: Optional[Check], limit_bytes: Optional[int]
) -> Verdict:
    """The verdict after load's own checks."""
    if check is None:
        return verdict if target.entry else verdict._replace(verdict="download")
    if check.error is not None:
        is_launchd = "job" in check.error.fields and check.error.kind == "PortBusy"
        kind = "LaunchdOwned" if is_launchd else check.error.kind
        return blocked(kind, check.error.message, check.error.hint)
    if limit_bytes is not None and (check.need_bytes or 0) > limit_bytes:
        text = "%s needs %s; all model servers together may use %s"
        values = (target.model, format_gib(check.need_bytes or 0), format_gib(limit_bytes))
        return blocked("TooBig", text % values, mlxops_command("fit", target.model))
    if check.download_bytes:
        text = "%s; %s to download" % (verdict.reason, format_size(check.download_bytes))
        return Verdict("download", text)
    return verdict


def _elsewhere(target: Target, port: int) -> Verdict:
    return blocked(
        "ModelElsewhere",
        "%s is on port %d" % (target.model, port),
        mlxops_command("unload", port),
    )


def _row(
    site: Site,
    registry: Registry,
    there: Occupant,
    target: Target,
    verdict: Verdict,
    sizes: Sizes,
) -> Row:
    check = sizes.checks.get(there.port) if verdict.verdict in LOADS else None
    entry = target.entry.name if target.entry else None
    used = sizes.used_by_port.get(there.port)
    return Row(
        port=there.port,
        slot_name=site.slot_name(there.port),
        declared=target.declared,
        wanted=target.wanted,
        entry=check.entry if check and check.entry else entry,
        live=there.live(registry),
        state=there.diagnosis.state,
        drift=there.diagnosis.drift,
        verdict=verdict.verdict,
        kind=verdict.kind,
        reason=verdict.reason,
        hint=verdict.hint,
        need_bytes=check.need_bytes if check else used,
        download_bytes=check.download_bytes if check else 0,
        usual_start_s=check.usual_start_s if check else None,
    )


def _memory(rows: Tuple[Row, ...], sizes: Sizes) -> PlannedMemory:
    needs = {row.port: row.need_bytes or 0 for row in rows if row.verdict in LOADS}
    needs.update({row.port: 0 for row in rows if row.verdict == "unload"})
    final = {**sizes.used_by_port, **needs}
    now, end = sum(sizes.used_by_port.values()), sum(final.values())
    return PlannedMemory(
        now_bytes=now,
        peak_bytes=max(now, end),
        most_bytes=sizes.limit_bytes,
        fits=sizes.limit_bytes is None or end <= sizes.limit_bytes,
        ports=final,
    )
