"""The unloads and loads of a plan: what each needs before it, and the memory meanwhile. Pure."""

from __future__ import annotations

from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

# Sets of ended stages that are looked at in the search for an order.
MAX_STATES = 2_000


class Work(NamedTuple):
    """What happens on one port. `need_bytes`: what it uses afterwards. `loads`: False for an
    unload. `frees`: whether it takes a model or memory away.

    `after`: the ports that must have given up the model before."""

    port: int
    need_bytes: int
    loads: bool = True
    frees: bool = True
    after: Tuple[int, ...] = ()


class Stage(NamedTuple):
    """The unload or the load of a port."""

    port: int
    loads: bool


Group = Tuple[Stage, ...]
Done = FrozenSet[Stage]


class Stages:
    """The stages of some works. The works of the ports in `unload_first` have two: an unload, and
    later a load."""

    def __init__(
        self,
        works: Iterable[Work],
        used_by_port: Mapping[int, int],
        limit_bytes: Optional[int],
        unload_first: FrozenSet[int],
    ) -> None:
        self.unload_first = unload_first
        self.early_unloads = frozenset(Stage(port, False) for port in unload_first)
        self._works = {work.port: work for work in works}
        self._used, self._limit = used_by_port, limit_bytes
        own = {Stage(work.port, work.loads) for work in self._works.values()}
        self._all = tuple(sorted(own | self.early_unloads))
        self._known: Dict[Done, bool] = {}

    def is_finished(self, done: Done) -> bool:
        return len(done) == len(self._all)

    def requirements(self, stage: Stage) -> List[Stage]:
        """The stages that give up its model, and the unload of its own port if it is unloaded
        first."""
        if stage in self.early_unloads:
            return []
        own = [Stage(stage.port, False)] if stage.port in self.unload_first else []
        return own + [self._giving_up(port) for port in self._works[stage.port].after]

    def _giving_up(self, port: int) -> Stage:
        return Stage(port, self._works[port].loads and port not in self.unload_first)

    def ready(self, done: Done) -> List[Stage]:
        """The stages that are not done and whose requirements are."""
        return [
            one for one in self._all if one not in done and done.issuperset(self.requirements(one))
        ]

    def freed(self, stage: Stage) -> int:
        """The bytes that it frees; less than zero for one that takes more than it frees."""
        before = frozenset(self.requirements(stage))
        return -self.growth(stage, before)

    def growth(self, stage: Stage, done: Done) -> int:
        """How many bytes more its port uses afterwards."""
        return self._need(stage) - self._uses(stage.port, done)

    def total(self, done: Done) -> int:
        """The memory of all model servers."""
        ports = {*self._used, *self._works}
        return sum(self._uses(port, done) for port in ports)

    def _need(self, stage: Stage) -> int:
        return self._works[stage.port].need_bytes if stage.loads else 0

    def _uses(self, port: int, done: Done) -> int:
        for stage in (Stage(port, True), Stage(port, False)):
            if stage in done:
                return self._need(stage)
        return self._used.get(port, 0)

    def fits(self, stages: Iterable[Stage], done: Done) -> bool:
        """Whether they fit side by side. What does not grow always does."""
        growth = sum(max(0, self.growth(stage, done)) for stage in stages)
        return self._limit is None or not growth or self.total(done) + growth <= self._limit

    def has_order(self, done: Done = frozenset()) -> bool:
        """Whether there is an order for the rest, one stage at a time.

        A stage that does not grow takes nothing from the others, so it comes before any choice."""
        if self.is_finished(done):
            return True
        if done not in self._known:
            if len(self._known) >= MAX_STATES:
                return False
            self._known[done] = False
            self._known[done] = self._find_order(done)
        return self._known[done]

    def _find_order(self, done: Done) -> bool:
        ready = self.ready(done)
        harmless = [stage for stage in ready if self.growth(stage, done) <= 0]
        if harmless:
            return self.has_order(done.union(harmless))
        return any(
            self.has_order(done.union([stage])) for stage in ready if self.fits([stage], done)
        )
