"""`python -m tests.faults.pairs`: two commands at once. One is paused before a step, the other runs
to its end, the first continues.

Before: amber serves on the work port, quiet next to it; the registry wrongly records a server on
the free port, and a wrong path for spare. `-n N` runs N of all interleavings."""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tabulate import tabulate

from .campaign import hosts
from .meeting import OTHERS, PAUSED, Meeting, Outcome, Stage


class Stages:
    """One stage per parallel meeting."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._idle = list(stages)
        self._pool = ThreadPoolExecutor(len(stages))

    def meetings(self) -> list[Meeting]:
        """Every other command at every effect of every first one."""
        steps = {first: self._idle[0].steps(first) for first in PAUSED}
        return [
            Meeting(first, step, other)
            for first in PAUSED
            for step in steps[first]
            for other in OTHERS
        ]

    def some(self, count: int, dice: random.Random) -> list[Meeting]:
        every = self.meetings()
        return dice.sample(every, min(count, len(every)))

    def few(self, each: int, dice: random.Random) -> list[Meeting]:
        """This many of each pair."""
        every = self.meetings()
        twos = [
            [m for m in every if (m.first, m.other) == two]
            for two in itertools.product(PAUSED, OTHERS)
        ]
        return [
            meeting
            for meetings in twos
            for meeting in dice.sample(meetings, min(each, len(meetings)))
        ]

    def meet(
        self, meetings: Sequence[Meeting], tell: Callable[[Outcome], None] = lambda _: None
    ) -> list[Outcome]:
        def one(meeting: Meeting) -> Outcome:
            stage = self._idle.pop()
            try:
                outcome = stage.meet(meeting)
            except AssertionError as exc:
                outcome = Outcome(meeting, False, ("?", "?"), [f"without a meeting: {exc}"])
            finally:
                self._idle.append(stage)
            tell(outcome)
            return outcome

        try:
            return list(self._pool.map(one, meetings))
        finally:
            self._pool.shutdown(cancel_futures=True)


@contextmanager
def stages(count: int, folder: Path | None = None) -> Iterator[Stages]:
    with hosts(count, folder) as farm:
        made = [Stage(scene) for scene in farm.scenes]
        try:
            yield Stages(made)
        finally:
            for stage in made:
                stage.end()


def table(outcomes: Sequence[Outcome]) -> str:
    """Interleavings that happened, by the paused and the other command; `refused`: the second was
    told to wait."""
    met = Counter((o.meeting.other, o.meeting.first) for o in outcomes if o.met)
    rows = [[other, *(met[other, first] for first in PAUSED)] for other in OTHERS]
    refused = Counter(
        o.meeting.other
        for o in outcomes
        if o.ends[1] in ("Locked", "AssignmentConflict", "PortBusy")
    )
    wrong = Counter(o.meeting.other for o in outcomes if o.violations)
    rows = [[*row, refused[row[0]], wrong[row[0]]] for row in rows]
    total = ["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])]
    heads = ("comes in", *(f"{first} stops" for first in PAUSED), "refused", "violations")
    return tabulate([*rows, total], headers=heads)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.pairs", description=__doc__)
    parser.add_argument("-n", type=int, default=1 << 30, help="how many; default: all")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="at the same time")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    asked = parser.parse_args()
    began = time.monotonic()
    with stages(asked.jobs) as farm:
        outcomes = farm.meet(farm.some(asked.n, random.Random(asked.seed)), _tell)
    print(table(outcomes))
    print(
        f"\n{sum(not o.met for o in outcomes)} not met, seed {asked.seed}, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _tell(outcome: Outcome) -> None:
    if outcome.violations:
        print(outcome, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
