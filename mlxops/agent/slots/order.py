"""Order the steps of a plan, so that each model is free and the memory suffices whenever a step
begins. Pure."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Callable, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from .stages import Group, Stage, Stages, Work

# Sets of ports to unload first that are tried before a larger set than necessary will do.
MAX_CHOICES = 2_000


class Schedule(NamedTuple):
    """`groups`: the stages that may run side by side, in order. `unload_first`: the ports that are
    unloaded before their load.

    `after`: port -> the ports whose earlier stages must have succeeded before its load.
    `peak_bytes`: the most if each group ends before the next begins."""

    groups: Tuple[Group, ...]
    unload_first: FrozenSet[int]
    after: Mapping[int, Tuple[int, ...]]
    peak_bytes: int

    @property
    def order(self) -> Tuple[Tuple[int, ...], ...]:
        """The ports of the groups."""
        return tuple(tuple(stage.port for stage in group) for group in self.groups)


def arrange(
    works: Iterable[Work], used_by_port: Mapping[int, int], limit_bytes: Optional[int], jobs: int
) -> Schedule:
    """The order of the works, with as few ports unloaded first as possible. In the end the memory
    must suffice for all of them."""
    sorted_works = sorted(works)

    def stages_with(unload_first: Iterable[int]) -> Stages:
        return Stages(sorted_works, used_by_port, limit_bytes, frozenset(unload_first))

    stages = stages_with(_fewest_unloads(sorted_works, used_by_port, stages_with))
    groups = _group(stages, jobs)
    return Schedule(
        groups=groups,
        unload_first=stages.unload_first,
        after=_dependencies(stages, groups),
        peak_bytes=_peak(stages, groups),
    )


def _fewest_unloads(
    works: Iterable[Work],
    used_by_port: Mapping[int, int],
    stages_with: Callable[[Iterable[int]], Stages],
) -> Tuple[int, ...]:
    """The fewest ports to unload first so that there is an order; of these, the ones that use the
    least GiB: what a server uses changes all the time, and a plan must not change with it."""

    def size(ports: Iterable[int]) -> int:
        return sum(used_by_port.get(port, 0) >> 30 for port in ports)

    candidates = [work.port for work in works if work.loads and work.frees]
    for count in range(len(candidates) + 1):
        if comb(len(candidates), count) > MAX_CHOICES:
            break
        for ports in sorted(combinations(candidates, count), key=size):
            if stages_with(ports).has_order():
                return ports
    # Too many combinations: leave out what is not necessary.
    chosen = list(candidates)
    for port in candidates:
        fewer = [one for one in chosen if one != port]
        chosen = fewer if stages_with(fewer).has_order() else chosen
    return tuple(chosen)


def _group(stages: Stages, jobs: int) -> Tuple[Group, ...]:
    """All stages in order: as many side by side as there is memory for. A port is unloaded first
    as late as possible, `jobs` at a time, because it does not serve until its load."""
    done: FrozenSet[Stage] = frozenset()
    groups: List[Group] = []
    ready = stages.ready(done)
    while ready:
        late = [stage for stage in ready if stage in stages.early_unloads]
        group = _side_by_side(stages, [stage for stage in ready if stage not in late], done)
        groups.append(group or tuple(late[:jobs]) or tuple(ready[:1]))
        done = done.union(groups[-1])
        ready = stages.ready(done)
    return tuple(groups)


def _side_by_side(stages: Stages, ready: Iterable[Stage], done: FrozenSet[Stage]) -> Group:
    """Those of the ready stages that fit together and leave an order for the rest; the ones that
    free memory first."""
    group: List[Stage] = []
    for stage in sorted(ready, key=lambda one: (stages.growth(one, done) > 0, one)):
        if stages.fits([*group, stage], done) and (
            stages.growth(stage, done) <= 0 or stages.has_order(done.union(group, [stage]))
        ):
            group.append(stage)
    return tuple(group)


def _peak(stages: Stages, groups: Iterable[Group]) -> int:
    done: FrozenSet[Stage] = frozenset()
    peak = stages.total(done)
    for group in groups:
        growth = sum(max(0, stages.growth(stage, done)) for stage in group)
        peak = max(peak, stages.total(done) + growth)
        done = done.union(group)
    return peak


def _dependencies(stages: Stages, groups: Iterable[Group]) -> Dict[int, Tuple[int, ...]]:
    """port -> the ports whose stages its load needs: those that have its model, and of those that
    free memory as few as suffice, even if all others fail."""
    after: Dict[Stage, FrozenSet[Stage]] = {}
    for group in groups:
        earlier = frozenset(after)
        for stage in group:
            after[stage] = _needed(stages, stage, earlier, after)
    return {
        stage.port: tuple(sorted({one.port for one in needed} - {stage.port}))
        for stage, needed in after.items()
        if stage not in stages.early_unloads
    }


def _needed(
    stages: Stages,
    stage: Stage,
    earlier: FrozenSet[Stage],
    after: Mapping[Stage, FrozenSet[Stage]],
) -> FrozenSet[Stage]:
    needed = frozenset(stages.requirements(stage))
    freeing = sorted((one for one in earlier if stages.freed(one) > 0), key=stages.freed)
    while True:
        sure = _with_requirements(needed, after)
        failed = [one for one in freeing if one not in sure]
        if not failed or stages.fits([stage], _without(failed, after, earlier)):
            return needed
        needed = needed.union(failed[-1:])


def _with_requirements(
    some: FrozenSet[Stage], after: Mapping[Stage, FrozenSet[Stage]]
) -> FrozenSet[Stage]:
    """The stages, and all that they need, directly or not."""
    more = some.union(*(after[one] for one in some))
    return some if more == some else _with_requirements(more, after)


def _without(
    failed: Iterable[Stage], after: Mapping[Stage, FrozenSet[Stage]], earlier: FrozenSet[Stage]
) -> FrozenSet[Stage]:
    """The stages that succeed if these fail."""
    lost = frozenset(failed)
    more = lost.union(one for one in earlier if after[one] & lost)
    return earlier - lost if more == lost else _without(more, after, earlier)
