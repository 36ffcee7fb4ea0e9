"""`python -m tests.faults.pairs`: two at once. One stops before a step, the other runs to its end, the first goes on.

Before: amber serves on the port to work on, quiet beside it; the registry says that one more serves on the free port,
which is not so, and gives a wrong path for spare. `-n N` takes N of all interleavings.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from . import invariants
from .agentcall import Blow, Ended, Nursery, Step
from .campaign import hosts, sample
from .cases import MODELS, stand
from .scene import DYING, Scene

ROUNDS = 2
STOPS_WITHIN_S = 30.0
Act = Callable[[Scene], Ended | None]
BY_HAND = {"note": "by hand"}
LAST_STEP = "os.replace(temp, self.path)"


def _verb(verb: str, **args: Any) -> tuple[str, Callable[[Scene], Mapping[str, Any]]]:
    """Ports by the name they have in the scene."""
    return verb, lambda scene: {k: getattr(scene, v) if k == "port" else v for k, v in args.items()}


def _load(model: str, port: str) -> tuple[str, Callable[[Scene], Mapping[str, Any]]]:
    return _verb("load", model=model, port=port, replace=True, force=True)


PAUSED = {
    "load": _load("jade", "work"), "unload": _verb("unload", port="work"), "reconcile": _verb("reconcile"),
    "init": _verb("init"),
}  # fmt: skip
MEANWHILE = {
    **PAUSED, "load the same elsewhere": _load("jade", "free"), "load the one before elsewhere": _load("amber", "free"),
    "load another there": _load("spare", "work"),
}  # fmt: skip


def _note_by_hand(scene: Scene) -> None:
    scene.write_registry({name: {**fields, **BY_HAND} for name, fields in scene.models().items()})


def _clear_by_hand(scene: Scene) -> None:
    """Whoever has the port to work on loses it; its server, if one runs, is nobody's then."""
    models = scene.models()
    for fields in models.values():
        if fields["port"] == scene.work:
            fields.update(port=None)
            fields.pop("process", None)
    scene.write_registry({name: {**fields, **BY_HAND} for name, fields in models.items()})


HANDS = {"edit by hand": _note_by_hand, "unassign by hand": _clear_by_hand}
OTHERS = (*MEANWHILE, *HANDS)


@dataclass(frozen=True)
class Meeting:
    """`first` stops before the step, and the `other` comes in."""

    first: str
    step: Step
    other: str

    def __str__(self) -> str:
        return f"{self.other} while {self.first} stops before {self.step} ({self.step.place})"


@dataclass
class Outcome:
    """`met` False: the step did not come this time. `ends`: how both ended. `violations`: a sentence each."""

    meeting: Meeting
    met: bool
    ends: tuple[str, str]
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.meeting}; they ended with {' and '.join(self.ends)}: " + "; ".join(self.violations)


class Stage:
    """A scene with a second nursery, for the one that is stopped."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.nursery.end()
        (scene.code / "nursery.py").rename(scene.code / "cradle.py")
        shutil.copy(Path(__file__).with_name("pausing.py"), scene.code / "nursery.py")
        scene.nursery = Nursery(scene.code)
        self._first = copy.copy(scene)
        self._first.nursery = Nursery(scene.code)
        self._log = scene.folder / "steps.jsonl"

    def arrange(self) -> None:
        stand(self.scene, work="amber")
        models = self.scene.models()
        models[DYING]["port"] = self.scene.free
        models["spare"]["cache_path"] = "/moved"
        self.scene.write_registry(models)

    def steps(self, first: str) -> tuple[Step, ...]:
        """The effects of a verb when nobody comes in between."""
        self.arrange()
        verb, args = PAUSED[first]
        ended = self._first.watch(verb, args(self.scene))
        assert ended.result is not None and self.scene.settle(), ended
        return tuple(step for step in ended.steps if not step.look and step.nth <= ROUNDS)

    def meet(self, meeting: Meeting) -> Outcome:
        self.arrange()
        bystanders = self._bystanders()
        self._log.unlink(missing_ok=True)
        verb, args = PAUSED[meeting.first]
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(self._first.watch, verb, args(self.scene), Blow(meeting.step, "pause"))
            pid = self._stopped(first)
            second = self._other(meeting.other) if pid else None
            if pid:
                os.kill(pid, signal.SIGCONT)
            outcome = Outcome(meeting, bool(pid), (_how(first.result()), _how(second)))
        if outcome.met:
            outcome.violations += [*_spoken(first.result()), *(_spoken(second) if second else [])]
            outcome.violations += self._aftermath(meeting)
            outcome.violations += [] if self._bystanders() == bystanders else ["the bystander's server was touched"]
        if outcome.violations:
            self.scene.clear()
        return outcome

    def _stopped(self, first: Future[Ended]) -> int:
        """The pid of the one that has stopped; 0 when it came to its end instead."""
        end = time.monotonic() + STOPS_WITHIN_S
        while time.monotonic() < end and not first.done():
            told = [line for line in _lines(self._log) if "paused" in line]
            if told and _state(told[0]["paused"]) == "T":
                return int(told[0]["paused"])
            time.sleep(0.002)
        return 0

    def _other(self, other: str) -> Ended | None:
        if other in HANDS:
            HANDS[other](self.scene)
            return None
        verb, args = MEANWHILE[other]
        return self.scene.call(verb, args(self.scene))

    def _aftermath(self, meeting: Meeting) -> list[str]:
        scene = self.scene
        found = invariants.always(scene)
        if not scene.settle():
            return [*found, "processes neither come up nor end: " + ", ".join(map(str, scene.family()))]
        found += invariants.reported(scene, scene.must("status")["ports"])
        if meeting.other in HANDS and not self._blind(meeting.step):
            found += [f"the hand edit of {name} is lost" for name in MODELS if "note" not in scene.models()[name]]
        drift = scene.must("reconcile")["drift"]
        orphans = [row["port"] for row in drift if row["drift"] == "orphan"]
        found += [*invariants.always(scene), *invariants.true(scene, orphans)]
        return found

    def _blind(self, step: Step) -> bool:
        """Between the last look at the registry and its replacement, which no file system offers as one."""
        file, line, _ = step.place.split(" < ")[0].split(":")
        source = (self.scene.code / "agent" / file).read_text().splitlines()
        return source[int(line) - 1].strip() == LAST_STEP

    def _bystanders(self) -> list[int]:
        return sorted(server.pid for server in self.scene.servers() if server.port == self.scene.bystander)

    def end(self) -> None:
        self._first.nursery.end()


def _lines(log: Path) -> list[dict[str, Any]]:
    try:
        text = log.read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"


def _how(ended: Ended | None) -> str:
    if ended is None or ended.record is None:
        return "no record"
    return "a result" if ended.result is not None else str(ended.error.get("kind"))


def _spoken(ended: Ended) -> Iterator[str]:
    if ended.record is None:
        yield f"ended without a last record, status {ended.status}"
    if "trace" in ended.error:
        yield "a defect of its own: " + ended.error["message"]
    if ended.stderr.strip():
        yield "wrote to stderr: " + ended.stderr.strip().splitlines()[-1]


class Stages:
    """As many as meet at the same time."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._idle = list(stages)
        self._pool = ThreadPoolExecutor(len(stages))

    def meetings(self) -> list[Meeting]:
        """Every other at every effect of every first."""
        steps = {first: self._idle[0].steps(first) for first in PAUSED}
        return [Meeting(first, step, other) for first in PAUSED for step in steps[first] for other in OTHERS]

    def few(self, each: int, dice: random.Random) -> list[Meeting]:
        """So many of every two."""
        every = self.meetings()
        twos = [[m for m in every if (m.first, m.other) == two] for two in itertools.product(PAUSED, OTHERS)]
        return [meeting for meetings in twos for meeting in sample(meetings, each, dice)]

    def meet(self, meetings: Sequence[Meeting], tell: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
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
    """Interleavings that came about, by who stopped and who came in; `refused`: the second was told to wait."""
    met = Counter((o.meeting.other, o.meeting.first) for o in outcomes if o.met)
    rows = [[other, *(met[other, first] for first in PAUSED)] for other in OTHERS]
    refused = Counter(o.meeting.other for o in outcomes if o.ends[1] in ("Locked", "AssignmentConflict", "PortBusy"))
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
        outcomes = farm.meet(sample(farm.meetings(), asked.n, random.Random(asked.seed)), _tell)
    print(table(outcomes))
    print(f"\n{sum(not o.met for o in outcomes)} not met, seed {asked.seed}, {time.monotonic() - began:.0f} s")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _tell(outcome: Outcome) -> None:
    if outcome.violations:
        print(outcome, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
