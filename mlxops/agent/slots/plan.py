"""Plan how every port gets the model that should serve there. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..errors import MlxopsError, mlxops_command
from ..hub.checks import format_size
from ..memory.fit import format_gib
from ..ports.evidence import Expected, PortEvidence
from ..ports.expected import expect
from ..registry.entries import Entry, Registry
from ..site import Site
from ..wire.slots import no_slot_warning, slot_warnings
from .evictions import evict
from .intent import PlanOptions, Target, find_targets, intent_warnings
from .judge import LOADS, STEPS, Occupant, Verdict, blocked, judge, observe_occupant
from .moves import Homes, block_held_models, find_homes
from .order import Schedule, arrange
from .stages import Work


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

    `limit_bytes`: what all model servers together may use, None if unknown. `expected`: what is
    known of each port beyond registry and host file, such as the end of a lost server."""

    checks: Mapping[int, Check] = {}
    used_by_port: Mapping[int, int] = {}
    limit_bytes: Optional[int] = None
    expected: Mapping[int, Expected] = {}


class Row(NamedTuple):
    """One port of a plan. `live`: the entry that serves there, or the model of a server that no
    entry knows; `pid`: its server's. `kind`: of an error, if it is blocked. `hint`: the next
    command.

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
    pid: Optional[int] = None


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
        return sum(row.verdict in STEPS for row in self.rows)

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
        port: observe_occupant(seen, sizes.expected.get(port) or expect(site, registry, port))
        for port, seen in evidence.items()
    }
    homes = find_homes(there, targets)
    verdicts = block_held_models(_verdicts(there, targets, sizes, options), homes, there, targets)
    draft = _Draft(there=there, targets=targets, verdicts=verdicts, homes=homes, sizes=sizes)
    if options.evict:
        draft = draft.with_evictions()
    order = draft.arrange(options.jobs) if draft.fits else arrange((), sizes.used_by_port, None, 1)
    return Plan(
        rows=tuple(_row(site, registry, draft, order, port) for port in sorted(draft.verdicts)),
        order=order.order,
        memory=draft.memory(order.peak_bytes),
        warnings=tuple(_warnings(site, registry, draft)),
    )


def _verdicts(
    there: Mapping[int, Occupant],
    targets: Mapping[int, Target],
    sizes: Sizes,
    options: PlanOptions,
) -> Dict[int, Verdict]:
    return {
        port: _checked(
            judge(there[port], targets[port], options),
            targets[port],
            sizes.checks.get(port),
            sizes.limit_bytes,
        )
        for port in options.ports
    }


def _checked(
    verdict: Verdict, target: Target, check: Optional[Check], limit_bytes: Optional[int]
) -> Verdict:
    """The verdict after load's own checks. They count for a step only."""
    if not verdict.is_step:
        return verdict
    if check is None:
        unknown = verdict.verdict in LOADS and target.entry is None
        return verdict._replace(verdict="download") if unknown else verdict
    if check.error is not None:
        launchd = check.error.kind == "PortBusy" and "job" in check.error.fields
        kind = "LaunchdOwned" if launchd else check.error.kind
        return blocked(kind, check.error.message, check.error.hint)
    need = check.need_bytes or 0
    if limit_bytes is not None and need > limit_bytes:
        text = "%s needs %s, and all model servers together may use %s"
        text %= (target.model, format_gib(need), format_gib(limit_bytes))
        return blocked("TooBig", text, mlxops_command("fit", target.model))
    if check.download_bytes:
        size = format_size(check.download_bytes)
        return Verdict("download", "%s; %s to download" % (verdict.reason, size))
    return verdict


class _Draft(NamedTuple):
    """The verdicts, and what they mean for the memory."""

    there: Mapping[int, Occupant]
    targets: Mapping[int, Target]
    verdicts: Mapping[int, Verdict]
    homes: Homes
    sizes: Sizes

    def uses(self, port: int) -> int:
        return self.sizes.used_by_port.get(port, 0)

    def need(self, port: int) -> int:
        """What the port uses in the end."""
        verdict, check = self.verdicts.get(port), self.sizes.checks.get(port)
        if verdict is None or not (verdict.is_step or verdict.kind == "TooBig"):
            return self.uses(port)
        return 0 if check is None or verdict.verdict == "unload" else check.need_bytes or 0

    @property
    def final(self) -> Dict[int, int]:
        """port -> what it uses in the end, for all ports that use memory or get a step."""
        ports = {*self.sizes.used_by_port, *self.verdicts}
        return {port: self.need(port) for port in sorted(ports)}

    @property
    def short_bytes(self) -> int:
        limit = self.sizes.limit_bytes
        return 0 if limit is None else sum(self.final.values()) - limit

    @property
    def fits(self) -> bool:
        """Whether the memory suffices in the end, or nothing takes more than it does now."""
        grows = any(self.need(port) > self.uses(port) for port in self.verdicts)
        return self.short_bytes <= 0 or not grows

    def with_evictions(self) -> _Draft:
        """The draft with as few ports unloaded as make room for it."""
        # A port that was emptied of a model which is due elsewhere would give the next plan work.
        kept = frozenset(home for port in self.verdicts for home in self.homes[port])
        unloads = evict(self.there, self.verdicts, self.sizes.used_by_port, self.short_bytes, kept)
        return self._replace(verdicts={**self.verdicts, **unloads})

    def arrange(self, jobs: int) -> Schedule:
        works = [
            Work(
                port=port,
                need_bytes=self.need(port),
                loads=verdict.verdict in LOADS,
                frees=self.uses(port) > 0 or self.there[port].is_used,
                after=self.homes[port] if verdict.verdict in LOADS else (),
            )
            for port, verdict in self.verdicts.items()
            if verdict.is_step
        ]
        return arrange(works, self.sizes.used_by_port, self.sizes.limit_bytes, jobs)

    def memory(self, peak_bytes: int) -> PlannedMemory:
        final = self.final
        return PlannedMemory(
            now_bytes=sum(self.sizes.used_by_port.values()),
            peak_bytes=max(peak_bytes, sum(final.values())),
            most_bytes=self.sizes.limit_bytes,
            fits=self.fits,
            ports=final,
        )


def _row(site: Site, registry: Registry, draft: _Draft, order: Schedule, port: int) -> Row:
    there, target, verdict = draft.there[port], draft.targets[port], draft.verdicts[port]
    loads = verdict.verdict in LOADS
    check = draft.sizes.checks.get(port, Check()) if loads else Check()
    entry = target.entry.name if target.entry else None
    return Row(
        port=port,
        slot_name=site.slot_name(port),
        declared=target.declared,
        wanted=target.wanted,
        entry=check.entry or entry,
        live=there.live(registry),
        state=there.diagnosis.state,
        drift=there.diagnosis.drift,
        verdict=verdict.verdict,
        kind=verdict.kind,
        reason=verdict.reason,
        hint=verdict.hint,
        after=order.after.get(port, ()),
        unload_first=port in order.unload_first,
        need_bytes=check.need_bytes if loads else draft.need(port),
        download_bytes=check.download_bytes,
        usual_start_s=check.usual_start_s,
        pid=there.server.process.pid if there.server else None,
    )


def _warnings(site: Site, registry: Registry, draft: _Draft) -> List[str]:
    warnings = [*slot_warnings(site.raw.get("slots", {})), *intent_warnings(site, registry)]
    loads = {p: draft.sizes.checks.get(p) for p, v in draft.verdicts.items() if v.verdict in LOADS}
    for port in sorted(draft.verdicts):
        entry = draft.targets[port].entry
        if entry is not None and port not in site.slots and _has_own_name(site, entry):
            warnings.append(no_slot_warning(port, entry.name))
    if loads and draft.sizes.limit_bytes is None:
        warnings.append("the memory was not checked: what the model servers may use is unknown")
    for port, check in sorted(loads.items()):
        if check is not None and check.need_bytes is None:
            text = "port %d: the memory that %s needs is unknown, and not counted"
            warnings.append(text % (port, draft.targets[port].model))
    return warnings


def _has_own_name(site: Site, entry: Entry) -> bool:
    """Whether its servers answer to the name of the slot or of the entry. Load reports an unknown
    runtime."""
    runtime = site.runtimes.get(entry.text("runtime") or site.runtime)
    return runtime is not None and runtime.client_model is None
