"""The steps of a plan, in order, and what their ports hold meanwhile. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..registry.entries import Registry
from .plan import Plan, Row


class Step(NamedTuple):
    """One request to an agent. `after`: the ports whose earlier steps must have succeeded.
    `need_bytes`: what the port's server uses afterwards; None if unknown."""

    port: int
    verb: str
    args: Mapping[str, Any]
    after: Tuple[int, ...]
    need_bytes: Optional[int]


class Times(NamedTuple):
    """Seconds that a step may take to start a server, and to stop one; None: the host's."""

    timeout_s: Optional[float] = None
    grace_s: Optional[float] = None


def steps_of(plan: Plan, registry: Registry, times: Times) -> List[Step]:
    """The steps in the order of the plan."""
    rows = {row.port: row for row in plan.rows}
    steps: List[Step] = []
    for row in (rows[port] for group in plan.order for port in group):
        begun = any(step.port == row.port for step in steps)
        if row.verdict == "unload" or (row.unload_first and not begun):
            steps.append(_unload(row, times))
        else:
            steps.append(_load(registry, row, times))
    return steps


def load_arguments(registry: Registry, row: Row) -> Dict[str, Any]:
    """The arguments of the load that a row plans, without those for its download."""
    model = row.entry if row.entry in registry.entries else row.declared
    args = {"model": model, "port": row.port, "replace": True, "by_plan": True}
    # What is only wanted may be unloaded, and so forgotten, before its step begins.
    return {**args, "if_wanted": row.declared is None}


def _load(registry: Registry, row: Row, times: Times) -> Step:
    """Replaces the server that the plan is about, no other. A download that is not planned is
    refused."""
    fetch = {"download": True} if row.download_bytes else {"ask_above_bytes": 0}
    pids = [] if row.unload_first else _pids(row)
    return Step(
        port=row.port,
        verb="load",
        args={**load_arguments(registry, row), "pids": pids, **fetch, **times._asdict()},
        after=row.after,
        need_bytes=row.need_bytes,
    )


def _unload(row: Row, times: Times) -> Step:
    """Stops the server that the plan is about, no other. If the port is loaded next, what it wants
    stays."""
    args = {
        "port": row.port,
        "pids": _pids(row),
        "keep_wanted": row.unload_first,
        "grace_s": times.grace_s,
    }
    # Of a swap, only the load waits for other ports.
    after = () if row.unload_first else row.after
    return Step(port=row.port, verb="unload", args=args, after=after, need_bytes=0)


def _pids(row: Row) -> List[int]:
    return [] if row.pid is None else [row.pid]


class MemoryLedger:
    """What each port's server uses, or will while its step runs; without a limit all fits."""

    def __init__(self, limit: Optional[int], used_by_port: Mapping[int, int]) -> None:
        self._limit = limit
        self.used = dict(used_by_port)
        self._planned: Dict[int, int] = {}

    def fits(self, step: Step) -> bool:
        """Whether there is room for the step beside all that run. What does not grow fits."""
        if (step.need_bytes or 0) <= self.used.get(step.port, 0):
            return True
        ports = {**self._planned, step.port: step.need_bytes or 0}
        most = {port: max(need, self.used.get(port, 0)) for port, need in ports.items()}
        return self._limit is None or sum({**self.used, **most}.values()) <= self._limit

    def begin(self, step: Step) -> None:
        self._planned[step.port] = step.need_bytes or 0

    def end(self, step: Step, done: bool) -> None:
        """After a failure the port holds what it held before."""
        need = self._planned.pop(step.port)
        if done:
            self.used[step.port] = need
