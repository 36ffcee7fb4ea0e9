"""The kinds of fault, and which steps they apply to."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .agentcall import Blow, Step

DAY = 86400
EXCEPTIONS = ("RuntimeError", "MemoryError")
JUMPS = (f"clock+{DAY}", f"clock-{DAY}", f"clock-{3650 * DAY}")
KINDS: Mapping[str, Sequence[str]] = {
    "kill -9": ("kill",),
    "torn": ("torn",),
    "errno": ("ENOSPC", "EIO", "EACCES", "EPERM", "EAGAIN", "EDQUOT", "EFBIG"),
    "exception": EXCEPTIONS,
    "disk full": ("full", "noinodes", "quota", "toolarge"),
    "read-only": ("readonly",),
    "clock jump": JUMPS,
}
KIND_OF = {fault: kind for kind, faults in KINDS.items() for fault in faults}
TEARS = ("write", "os.write", "os.pwrite")
SPAWNS = ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec")
SIGNALS = ("os.kill", "os.killpg", "signal.pidfd_send_signal")
# Operations on an open descriptor or a socket never fail for lack of permission.
RIGHTLESS = (*TEARS, "os.fsync", "os.truncate", "fcntl.flock", "socket.send", "socket.sendall")
# Errors of few calls: the process limit, and operations reserved to the owner or root.
ONLY = {
    "EAGAIN": (*SPAWNS, "fcntl.flock"),
    "EPERM": (*SIGNALS, "os.chmod", "os.chown"),
    "EDQUOT": ("open", "os.mkdir", "os.rename", *TEARS),
    "EFBIG": TEARS,
}
# A lasting fault starts at the first step it applies to; at any other step it would be the same
# fault again.
BEGINS = {
    "noinodes": ("open", "os.mkdir"),
    "quota": ("open", "os.mkdir", "os.rename", *TEARS),
    "toolarge": TEARS,
}
# Later rounds of a loop take the same path through the code.
ROUNDS = 2


def near(steps: Iterable[Step]) -> list[Step]:
    """The steps to inject at: only the first rounds of a loop."""
    return [step for step in steps if step.nth <= ROUNDS]


def blows(steps: Iterable[Step]) -> list[Blow]:
    """Every fault at every step where it can happen. Fewer apply to a look, which changes
    nothing."""
    return [
        Blow(step, fault)
        for step in near(steps)
        for fault in (_at_look(step) if step.look else _at_effect(step))
    ]


def _at_look(step: Step) -> Iterator[str]:
    yield from ("EIO", "EACCES", EXCEPTIONS[0])


def _at_effect(step: Step) -> Iterator[str]:
    yield "kill"
    if step.event in TEARS:
        yield "torn"
    yield from (name for name in KINDS["errno"] if _refused(step.event, name))
    yield from (fault for fault, events in BEGINS.items() if step.event in events)
    yield from (*EXCEPTIONS, "full", "readonly", *JUMPS)


def _refused(event: str, name: str) -> bool:
    return event in ONLY[name] if name in ONLY else not (name == "EACCES" and event in RIGHTLESS)


def sample(blows: Sequence[Blow], count: int, dice: random.Random) -> list[Blow]:
    """This many of them, or all, spread evenly over the kinds as far as possible."""
    piles = {kind: [b for b in blows if KIND_OF[b.fault] == kind] for kind in KINDS}
    for pile in piles.values():
        dice.shuffle(pile)
    chosen: list[Blow] = []
    while len(chosen) < min(count, len(blows)):
        for pile in piles.values():
            chosen += [pile.pop()] if pile and len(chosen) < count else []
    return chosen
