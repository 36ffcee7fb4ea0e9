"""Many faults: which ones, on several hosts at once, and the table of what came of them."""

from __future__ import annotations

import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tabulate import tabulate

from mlxops.demo.tinymodel import model_files

from .agentcall import Blow, Step
from .cases import CASES, MODELS, Case
from .scene import Scene
from .trial import Outcome, strike, survey

Tell = Callable[[Outcome], None]
ERRNOS = ("ENOSPC", "EIO", "EACCES")
TEARS = ("write", "os.write", "os.pwrite")
# What works on an open descriptor or a socket is never refused for want of a right.
RIGHTLESS = (*TEARS, "os.fsync", "os.truncate", "fcntl.flock", "socket.send", "socket.sendall")
# A loop's further rounds take the same way through the code.
ROUNDS = 2


def kills(steps: Iterable[Step]) -> list[Blow]:
    """kill -9 before every effect, and in the middle of every write."""
    effects = [step for step in steps if not step.look and step.nth <= ROUNDS]
    return [Blow(s, "kill") for s in effects] + [Blow(s, "torn") for s in effects if s.event in TEARS]


def errors(steps: Iterable[Step]) -> list[Blow]:
    """Every errno at every effect and every look, and a disk that is full from an effect on."""
    near = [step for step in steps if step.nth <= ROUNDS]
    once = [Blow(step, fault) for step in near for fault in ERRNOS if _possible(step, fault)]
    return once + [Blow(step, "full") for step in near if not step.look]


def _possible(step: Step, fault: str) -> bool:
    return not (step.look and fault == "ENOSPC") and not (step.event in RIGHTLESS and fault == "EACCES")


def sample(blows: Sequence[Blow], count: int, dice: random.Random) -> list[Blow]:
    """This many of them, or all."""
    return list(blows) if count >= len(blows) else dice.sample(list(blows), count)


class Hosts:
    """As many hosts as trials run at the same time."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = scenes
        self._idle = list(scenes)
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[Scene]:
        with self._lock:
            scene = self._idle.pop()
        try:
            yield scene
        finally:
            with self._lock:
                self._idle.append(scene)

    def steps(self, case: Case) -> tuple[Step, ...]:
        with self.one() as scene:
            return survey(scene, case)

    def strike(self, case: Case, blows: Sequence[Blow], tell: Tell = lambda _: None) -> list[Outcome]:
        """Every other one is mended by reconcile first, the rest by the same verb again alone."""

        def one(numbered: tuple[int, Blow]) -> Outcome:
            with self.one() as scene:
                outcome = strike(scene, case, numbered[1], reconcile_first=numbered[0] % 2 == 0)
            tell(outcome)
            return outcome

        pool = ThreadPoolExecutor(len(self.scenes))
        try:
            return list(pool.map(one, enumerate(blows)))
        finally:
            # After Ctrl-C the rest is left out; what is under way comes to its end.
            pool.shutdown(cancel_futures=True)


@contextmanager
def hosts(count: int, folder: Path | None = None) -> Iterator[Hosts]:
    models = {name: model_files([name], seed=seed) for seed, name in enumerate(MODELS)}
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scenes = [Scene(place / f"host{number}", models) for number in range(count)]
        for scene in scenes:
            stack.callback(scene.end)
        yield Hosts(scenes)


HEADS = ("verb", "effects", "looks", "kill -9", "torn", "errno", "disk full", "struck", "not met", "violations")


def table(steps: Mapping[str, Sequence[Step]], outcomes: Sequence[Outcome]) -> str:
    """Per verb: its steps, the faults that struck by kind, those whose step did not come, the violations.

    Steps are counted as struck at: of the rounds of a loop only the first ones.
    """
    counts = {name: _counts(steps[name], [o for o in outcomes if o.case == name]) for name in CASES if name in steps}
    rows = [[name, *row] for name, row in counts.items()]
    total = ["all", *(sum(column) for column in zip(*counts.values(), strict=True))]
    return tabulate([*rows, total] if len(rows) > 1 else rows, headers=HEADS)


def _counts(steps: Sequence[Step], outcomes: Sequence[Outcome]) -> list[int]:
    struck = Counter(_kind(outcome.blow.fault) for outcome in outcomes if outcome.struck)
    near = [step.look for step in steps if step.nth <= ROUNDS]
    kinds = [struck[kind] for kind in ("kill", "torn", "errno", "full")]
    missed, violated = sum(not o.struck for o in outcomes), sum(bool(o.violations) for o in outcomes)
    return [near.count(False), near.count(True), *kinds, sum(kinds), missed, violated]


def _kind(fault: str) -> str:
    return "errno" if fault in ERRNOS else fault
