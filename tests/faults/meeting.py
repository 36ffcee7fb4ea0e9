"""Two commands at once on one host: which one is paused, which one runs meanwhile, and what must
hold when both are done."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import invariants
from .agentcall import Blow, Ended, Nursery, Step
from .scene import DYING, Scene
from .standing import stand
from .trial import how

ROUNDS = 2
STOPS_WITHIN_S = 30.0
Act = Callable[[Scene], Ended | None]
BY_HAND = {"note": "by hand"}
KNOWN = ("amber", "jade", "quiet", "spare")
LAST_STEP = ("registry/atomic_file.py", "os.replace(draft, path)")


def _verb(verb: str, **args: Any) -> tuple[str, Callable[[Scene], Mapping[str, Any]]]:
    """A verb; ports by the name they have in the scene."""
    return verb, lambda scene: {k: getattr(scene, v) if k == "port" else v for k, v in args.items()}


def _load(model: str, port: str) -> tuple[str, Callable[[Scene], Mapping[str, Any]]]:
    return _verb("load", model=model, port=port, replace=True, force=True)


PAUSED = {
    "load": _load("jade", "work"),
    "unload": _verb("unload", port="work"),
    "reconcile": _verb("reconcile"),
    "init": _verb("init"),
}
MEANWHILE = {
    **PAUSED,
    "load the same elsewhere": _load("jade", "free"),
    "load the one before elsewhere": _load("amber", "free"),
    "load another there": _load("spare", "work"),
}


def _note_by_hand(scene: Scene) -> None:
    scene.write_registry({name: {**fields, **BY_HAND} for name, fields in scene.models().items()})


def _clear_by_hand(scene: Scene) -> None:
    """Remove the assignment of the work port by hand; its server, if one runs, is then
    unassigned."""
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
    """`first` is paused before the step, and the `other` runs."""

    first: str
    step: Step
    other: str

    def __str__(self) -> str:
        return f"{self.other} while {self.first} stops before {self.step} ({self.step.place})"


@dataclass
class Outcome:
    """`met` False: the step did not happen this time. `ends`: how both ended. `violations`: one
    sentence each."""

    meeting: Meeting
    met: bool
    ends: tuple[str, str]
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.meeting}; they ended with {' and '.join(self.ends)}: " + "; ".join(
            self.violations
        )


class Stage:
    """A scene with a second nursery, for the paused command."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.nursery.end()
        (scene.code / "nursery.py").rename(scene.code / "cradle.py")
        shutil.copy(Path(__file__).with_name("pausing.py"), scene.code / "nursery.py")
        scene.nursery = _nursery(scene)
        self._first = copy.copy(scene)
        self._first.nursery = _nursery(scene)
        self._log = scene.folder / "steps.jsonl"

    def arrange(self) -> None:
        stand(self.scene, work="amber")
        models = self.scene.models()
        models[DYING]["port"] = self.scene.free
        models["spare"]["cache_path"] = "/moved"
        self.scene.write_registry(models)

    def steps(self, first: str) -> tuple[Step, ...]:
        """The effects of a verb without interference."""
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
        blow = Blow(meeting.step, "pause")
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(self._first.watch, verb, args(self.scene), blow)
            pid = self._stopped(first)
            second = self._other(meeting.other) if pid else None
            if pid:
                os.kill(pid, signal.SIGCONT)
            outcome = Outcome(
                meeting, bool(pid), (how(first.result()), how(second) if second else "no record")
            )
        if outcome.met:
            for ended in filter(None, (first.result(), second)):
                outcome.violations += invariants.spoken(ended, blow)
            outcome.violations += self._aftermath(meeting)
            outcome.violations += (
                [] if self._bystanders() == bystanders else ["the bystander's server was touched"]
            )
        if outcome.violations:
            self.scene.clear()
        return outcome

    def _stopped(self, first: Future[Ended]) -> int:
        """The pid of the paused command; 0 if it ran to its end instead."""
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
            return [
                *found,
                "processes neither come up nor end: " + ", ".join(map(str, scene.family())),
            ]
        found += invariants.reported(scene, scene.must("status")["ports"])
        if meeting.other in HANDS and not self._blind(meeting.step):
            found += [
                f"the hand edit of {name} is lost"
                for name in KNOWN
                if "note" not in scene.models()[name]
            ]
        drift = scene.must("reconcile")["drift"]
        orphans = [row["port"] for row in drift if row["drift"] == "orphan"]
        found += [*invariants.always(scene), *invariants.true(scene, orphans)]
        return found

    def _blind(self, step: Step) -> bool:
        """Between the last read of the registry and its replacement, which no file system offers as
        one operation."""
        file, line, _ = step.place.split(" < ")[0].split(":")
        source = (self.scene.code / "agent" / file).read_text().splitlines()
        return (file, source[int(line) - 1].strip()) == LAST_STEP

    def _bystanders(self) -> list[int]:
        return sorted(
            server.pid for server in self.scene.servers() if server.port == self.scene.bystander
        )

    def end(self) -> None:
        self._first.nursery.end()


def _nursery(scene: Scene) -> Nursery:
    return Nursery(
        scene.code, sys.executable, {"HF_ENDPOINT": scene.remote.url, "HOME": str(scene.folder)}
    )


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
