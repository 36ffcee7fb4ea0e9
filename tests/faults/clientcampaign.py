"""Many faults in the client: which ones, and on several desks in parallel."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from .agentcall import Blow, Step
from .campaign import Tell, hosts
from .clientcases import ClientCase
from .clienttrial import survey
from .desk import Desk
from .trial import Outcome

# Errors of an effect; a look fails with the same ones, except for lack of space.
FAILURES = {
    "socket.send": ("ECONNRESET", "EPIPE"),
    "socket.sendall": ("ECONNRESET", "EPIPE"),
    "socket.connect": ("ECONNREFUSED", "EHOSTUNREACH", "EACCES"),
    "subprocess.Popen": ("EACCES", "EAGAIN", "ENOMEM"),
    "os.write": ("EPIPE", "EIO"),
    "write": ("ENOSPC", "EPIPE", "EIO"),
    "fcntl.flock": ("EIO", "ENOLCK"),
}
LOOKED = ("EIO", "EACCES")
OTHERWISE = ("ENOSPC", "EIO", "EACCES")
ROUNDS = 2
SIGNALS = ("INT", "INT", "TERM", "INT INT")
# The start of Python, before the first line of mlxops.
BEFORE = (":0:<module>", "__init__.py:1:<module>")
# A module with many imports has as many moments at the same place.
MOMENTS = 40
T = TypeVar("T")
Trial = Callable[[Desk, ClientCase, Blow], Outcome]


def faults(steps: Iterable[Step]) -> list[Blow]:
    """kill -9 at every effect, and every errno at every step."""
    near = [step for step in steps if step.nth <= ROUNDS]
    kills = [Blow(step, "kill") for step in near if not step.look]
    return kills + [Blow(step, fault) for step in near for fault in _failures(step)]


def _failures(step: Step) -> Sequence[str]:
    return FAILURES.get(step.event, LOOKED if step.look else OTHERWISE)


def presses(steps: Iterable[Step], dice: random.Random) -> list[Blow]:
    """Ctrl-C at every step and moment, or SIGTERM, or two of them in a row."""
    ours = [step for step in steps if not step.place.endswith(BEFORE)]
    return [Blow(step, dice.choice(SIGNALS)) for step in ours if step.nth <= MOMENTS]


def sample(blows: Sequence[Blow], count: int, dice: random.Random) -> list[Blow]:
    """This many of them, or all."""
    return list(blows) if count >= len(blows) else dice.sample(list(blows), count)


class Desks:
    """One desk per parallel trial; each has a host of its own, and both ways to reach it."""

    def __init__(self, pairs: Sequence[dict[bool, Desk]]) -> None:
        self._idle = list(pairs)
        self._pool = ThreadPoolExecutor(len(pairs))

    def steps(self, case: ClientCase, moments: bool = False) -> tuple[Step, ...]:
        return self._at_one(lambda desk: survey(desk, case, moments), case)

    def each(
        self, trial: Trial, case: ClientCase, blows: Sequence[Blow], tell: Tell = lambda _: None
    ) -> list[Outcome]:
        def one(blow: Blow) -> Outcome:
            outcome = self._at_one(lambda desk: trial(desk, case, blow), case)
            tell(outcome)
            return outcome

        return list(self._pool.map(one, blows))

    def _at_one(self, work: Callable[[Desk], T], case: ClientCase) -> T:
        pair = self._idle.pop()
        try:
            return work(pair[case.ssh])
        finally:
            self._idle.append(pair)

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for pair in self._idle:
            for desk in pair.values():
                desk.end()


@contextmanager
def desks(count: int, folder: Path | None = None) -> Iterator[Desks]:
    with hosts(count, folder) as farm:
        sat = Desks([{ssh: Desk(scene, ssh) for ssh in (False, True)} for scene in farm.scenes])
        try:
            yield sat
        finally:
            sat.end()
