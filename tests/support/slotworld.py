"""A host as a value, and a run of a plan on it, for the property tests of plans.

Knows nothing of how plans are made: it does what the rows and the order say, and checks that a real
host could."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mlxops.agent.errors import ModelGated
from mlxops.agent.ports.evidence import PortEvidence
from mlxops.agent.registry.entries import Entry, Registry
from mlxops.agent.site import Site
from mlxops.agent.slots.intent import PlanOptions
from mlxops.agent.slots.plan import Check, Plan, Sizes, plan
from tests.support import slots

RIGHT = ("ready", "starting")
CLOSED = ("job", "foreign", "unknown")


@dataclass(frozen=True)
class Spot:
    """One port. `model`: what is served there. `state`: "stray" is a server that is not in the
    registry, "odd" one with other options, "gone" an assignment without a server. `more`: how much
    more it uses than was estimated."""

    state: str = "free"
    model: str | None = None
    more: int = 0

    @property
    def is_live(self) -> bool:
        return self.model is not None and self.state != "gone"


@dataclass
class World:
    spots: dict[int, Spot]
    declared: dict[int, str]
    wants: dict[str, int]  # model -> port
    known: set[str]  # models with an entry
    needs: dict[str, int]
    gated: set[str] = field(default_factory=set)
    limit: int | None = None

    def copy(self) -> World:
        return replace(self, spots=dict(self.spots), wants=dict(self.wants), known=set(self.known))

    @property
    def used(self) -> dict[int, int]:
        return {
            port: max(0, self.needs[spot.model] + spot.more)
            for port, spot in self.spots.items()
            if spot.model and spot.is_live
        }

    def homes(self, model: str) -> list[int]:
        """The ports that a model is on, served or only assigned."""
        return [port for port, spot in self.spots.items() if spot.model == model]

    def target(self, port: int, to: str) -> str | None:
        """What should serve on a port, said once more and simply; "?" if it cannot be told."""
        if to != "wanted" and port in self.declared:
            return self.declared[port]
        if to == "declared":
            return None
        elsewhere = self.declared.values() if to == "both" else ()
        wanting = [m for m, p in self.wants.items() if p == port and m not in elsewhere]
        return None if not wanting else wanting[0] if len(wanting) == 1 else "?"

    def site(self) -> Site:
        return slots.site(self.declared, self.spots)

    def registry(self) -> Registry:
        return slots.registry(*(self._entry(model) for model in sorted(self.known)))

    def _entry(self, model: str) -> Entry:
        port = next(
            (p for p in self.homes(model) if self.spots[p].state not in ("stray", *CLOSED)), None
        )
        process = {"pid": slots.pid_of(port)}
        if port is not None and self.spots[port].state != "starting":
            process["ready_at"] = 1
        return slots.entry(
            model, port, self.wants.get(model), **({"process": process} if port else {})
        )

    def evidence(self) -> dict[int, PortEvidence]:
        return {port: _evidence(port, spot) for port, spot in self.spots.items()}

    def sizes(self, draft: Plan) -> Sizes:
        """What load's checks say of the ports that the draft would change."""
        checks = {}
        for row in draft.rows:
            if row.verdict in ("load", "swap", "restart", "download"):
                model = row.entry or (row.declared or "").removeprefix("org/")
                checks[row.port] = self._check(model)
        return Sizes(checks, self.used, self.limit)

    def _check(self, model: str) -> Check:
        if model in self.gated:
            return Check(model, error=ModelGated(f"{model} is gated", "log in"))
        return Check(model, self.needs[model], 0 if model in self.known else 10**9, 1.0)

    def plan(self, options: PlanOptions) -> Plan:
        site, registry, evidence = self.site(), self.registry(), self.evidence()
        draft = plan(site, registry, evidence, Sizes({}, self.used, self.limit), options)
        return plan(site, registry, evidence, self.sizes(draft), options)


def _evidence(port: int, spot: Spot) -> PortEvidence:
    free, model = slots.free(port), spot.model or ""
    other = slots.server(model, port, options="--max-tokens 5")
    return {
        "free": lambda: free,
        "gone": lambda: free,
        "ready": lambda: slots.serves(model, port),
        "starting": lambda: slots.starting(model, port),
        "hung": lambda: slots.hangs(model, port),
        "odd": lambda: slots.serves(model, port)._replace(servers=(other,)),
        "stray": lambda: slots.serves(model, port, recorded=False),
        "foreign": lambda: slots.foreign(port),
        "job": lambda: (slots.serves(model, port) if model else free)._replace(job=slots.JOB),
        "unknown": lambda: free._replace(listeners=None, unknown=("no lsof",)),
    }[spot.state]()


@dataclass(frozen=True)
class Step:
    """One step that the plan prints. `model` None: an unload. `forgets`: nobody wants the port
    afterwards."""

    port: int
    model: str | None
    after: tuple[int, ...] = ()
    forgets: bool = False


def steps_of(made: Plan) -> list[Step]:
    """The steps of a plan, read from its rows and its order."""
    rows = {row.port: row for row in made.rows}
    steps: list[Step] = []
    for port in (port for group in made.order for port in group):
        row = rows[port]
        begun = any(step.port == port for step in steps)
        if row.verdict == "unload" or (row.unload_first and not begun):
            steps.append(Step(port, None, forgets=row.verdict == "unload"))
        else:
            model = row.entry or (row.declared or "").removeprefix("org/")
            steps.append(Step(port, model, row.after))
    return steps


class Run:
    """A run of a plan: the steps begin strictly in order, up to `jobs` at a time, and end in any
    order. `fails`: how likely a step is to fail."""

    def __init__(self, world: World, made: Plan, jobs: int, chance: random.Random) -> None:
        self.world, self._chance, self._jobs = world.copy(), chance, jobs
        self._waiting, self._running = steps_of(made), list[Step]()
        self._asked = {row.port for row in made.rows}
        self.failed: set[int] = set()
        self.skipped: set[int] = set()

    def go(self, fails: float = 0.0) -> World:
        while self._waiting or self._running:
            if self._waiting and self._dependency_failed(self._waiting[0]):
                self.skipped.add(self._waiting.pop(0).port)
            elif self._can_begin() and (not self._running or self._chance.random() < 0.6):
                self._begin(self._waiting.pop(0))
            elif self._running:
                self._end(self._chance.choice(self._running), self._chance.random() < fails)
            elif self.failed:
                # What another step should have freed is still in use.
                self.skipped.add(self._waiting.pop(0).port)
            else:
                raise AssertionError(f"stuck before {self._waiting[0]}")
        return self.world

    def _dependency_failed(self, step: Step) -> bool:
        return bool((self.failed | self.skipped).intersection((*step.after, step.port)))

    def _can_begin(self) -> bool:
        if not self._waiting or len(self._running) >= self._jobs:
            return False
        step = self._waiting[0]
        busy = {one.port for one in self._running}
        return not busy.intersection((*step.after, step.port)) and self._fits(step)

    def _fits(self, *more: Step) -> bool:
        most = self.world.used
        for step in (*self._running, *more):
            need = self.world.needs[step.model] if step.model else 0
            most[step.port] = max(most.get(step.port, 0), need)
        # A step that takes no more than its port has now makes nothing worse.
        grows = most.items() - self.world.used.items()
        return self.world.limit is None or not grows or sum(most.values()) <= self.world.limit

    def _begin(self, step: Step) -> None:
        spot = self.world.spots[step.port]
        assert step.port in self._asked
        assert spot.state not in CLOSED, f"{step} on {spot}"
        assert not (spot.state in RIGHT and spot.model == step.model), f"{step} restarts {spot}"
        if step.forgets:
            assert spot.state != "stray", f"{step} unloads a server that no entry knows"
        if step.model is not None:
            assert step.model not in self.world.gated
            elsewhere = [port for port in self.world.homes(step.model) if port != step.port]
            assert elsewhere == [], f"{step}: its model is on {elsewhere}"
            loading = [one for one in self._running if one.model == step.model]
            assert loading == [], f"{step}: {loading} loads it"
        self._running.append(step)
        assert self._fits(), f"{step}: too much memory"

    def _end(self, step: Step, fails: bool) -> None:
        self._running.remove(step)
        if fails:
            # A failed load starts the old server again.
            self.failed.add(step.port)
            return
        world = self.world
        if step.model is None:
            world.spots[step.port] = Spot()
            if step.forgets:
                self._forget(step.port)
        else:
            world.spots[step.port] = Spot("ready", step.model)
            world.known.add(step.model)
            self._forget(step.port)
            world.wants[step.model] = step.port

    def _forget(self, port: int) -> None:
        self.world.wants = {m: p for m, p in self.world.wants.items() if p != port}


def moves_in_a_circle(world: World, made: Plan, to: str) -> int:
    """How many circles of moves the steps of a plan make: each port follows the one that its model
    is on."""
    changing = {row.port for row in made.rows if row.verdict in ("load", "swap", "download")}
    before: dict[int, int] = {}
    for port in changing:
        for home in world.homes(world.target(port, to) or ""):
            if home != port and home in changing:
                before[port] = home
    return _circles(before)


def _circles(before: Mapping[int, int]) -> int:
    ended: set[int] = set()
    count = 0
    for start in before:
        path: list[int] = []
        port: int | None = start
        while port is not None and port not in ended and port not in path:
            path.append(port)
            port = before.get(port)
        count += port in path
        ended.update(path)
    return count


def right_ports(world: World, ports: Iterable[int], to: str) -> set[int]:
    """The ports that serve what they should, and that nobody works on."""
    return {
        port
        for port in ports
        if world.spots[port].state in RIGHT and world.spots[port].model == world.target(port, to)
    }
