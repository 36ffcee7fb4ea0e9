"""Ctrl-C and SIGTERM: what a press does depends on what the program is about.

While it connects, or asks a person, the first press raises KeyboardInterrupt. While the host is at
work the first is only counted, so that it never tears a record, and the second raises. At any other
moment, none of them long, it is counted as well and told with the answer. One press more leaves at
once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from . import alarms
from .agent.errors import Interrupted, MlxopsError

REPORT_TIMEOUT_S = 1.0
REDELIVER_S = 0.01


class InterruptState:
    """What listens for them. `raising`: the press that raises, 0 for none. `telling`: too late to
    undo anything."""

    def __init__(self) -> None:
        self.count = 0
        self.raising = 0
        self.telling = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == self.raising:
            raise KeyboardInterrupt
        if self.count > max(1, self.raising):
            leave()
        if self.telling:
            # Whoever reads our output may not read on.
            alarms.after(REPORT_TIMEOUT_S, leave)

    def redeliver(self, unraisable: sys.UnraisableHookArgs) -> None:
        """A KeyboardInterrupt that was raised where Python can only print it comes once more, a
        moment later."""
        if unraisable.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(unraisable)
            return
        self.count -= 1
        alarms.after(REDELIVER_S, lambda: self(signal.SIGINT, None))


def leave(*_: Any) -> None:
    """End the program at once."""
    os._exit(Interrupted.exit_code)


def listen() -> None:
    """For a whole program: from now on presses are counted, Ctrl-C as well as SIGTERM."""
    presses = InterruptState()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, presses)
    sys.unraisablehook = presses.redeliver


@contextmanager
def raise_on(at: int) -> Iterator[InterruptState]:
    """Inside, press number `at` raises; an outer block that raises earlier prevails.

    Where no program listens, this block does; but for a thread other than the main one, where no
    press arrives."""
    before = signal.getsignal(signal.SIGINT)
    presses = _listening() or _own()
    outer, presses.raising = presses.raising, presses.raising or at
    try:
        if presses.count >= presses.raising:
            raise KeyboardInterrupt
        yield presses
    finally:
        presses.raising = outer
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


def _listening() -> InterruptState | None:
    """What listens now; None where no program of ours has begun to."""
    found = signal.getsignal(signal.SIGINT)
    return found if isinstance(found, InterruptState) else None


def _own() -> InterruptState:
    presses = InterruptState()
    with suppress(ValueError):
        signal.signal(signal.SIGINT, presses)
    return presses


@contextmanager
def suspended() -> Iterator[None]:
    """Inside, what was pressed before does not count: whatever cleans up after a press has to come
    to its end."""
    presses = _listening() or InterruptState()
    count, at = presses.count, presses.raising
    presses.count = presses.raising = 0
    try:
        yield
    finally:
        presses.count, presses.raising = presses.count + count, at


@contextmanager
def while_reporting() -> Iterator[InterruptState]:
    """Inside, the answer is told: a press that comes only now is too late, but bounds the time it
    takes."""
    presses = _listening() or InterruptState()
    presses.telling = True
    try:
        yield presses
    finally:
        presses.telling = False


def interrupted_after_end(result: Any, fault: MlxopsError | None) -> Interrupted:
    """The error of a command that was interrupted and came to its end nevertheless."""
    said = f"it ended with: {fault.message}" if fault else _done(result)
    outcome = {"error": fault.to_wire()} if fault else {"result": result}
    return Interrupted(f"interrupted; {said}", fault.hint if fault else "", outcome=outcome)


def _done(result: Any) -> str:
    """Of several ports, those that were not done: no word may hide them."""
    ports = result.get("ports") if isinstance(result, dict) else None
    rows = [row for row in ports if isinstance(row, dict)] if isinstance(ports, list) else []
    left = [str(row.get("port")) for row in rows if row.get("ok") is False]
    return f"not done: {', '.join(left)}" if left else "it was already done"
