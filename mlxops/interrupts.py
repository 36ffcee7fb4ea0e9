"""Ctrl-C and SIGTERM: one handler that counts them, and raises or not by what the program does.

While the program connects, or prompts the user, the first signal raises KeyboardInterrupt. While
the host works, the first signal is only counted, so that it never tears a record, and the second
one raises. At any other time it is counted and reported with the answer. One signal more ends the
program at once.

Only the main thread receives signals. A call in another thread runs inside `cancelled_by`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from . import alarms
from .agent.errors import Interrupted, MlxopsError

REPORT_TIMEOUT_S = 1.0
REDELIVER_S = 0.01
_thread = threading.local()


class InterruptState:
    """The handler. `raise_at`: the number of the signal that raises, 0 for none. `reporting`: the
    answer is being printed, and it is too late to cancel."""

    def __init__(self) -> None:
        self.count = 0
        self.raise_at = 0
        self.reporting = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == self.raise_at:
            raise KeyboardInterrupt
        if self.count > max(1, self.raise_at):
            leave()
        if self.reporting:
            # The reader of the output may have stopped reading.
            alarms.after(REPORT_TIMEOUT_S, leave)

    def redeliver(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Repeat, a moment later, a KeyboardInterrupt that was raised where Python can only print
        it."""
        if unraisable.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(unraisable)
            return
        self.count -= 1
        alarms.after(REDELIVER_S, lambda: self(signal.SIGINT, None))


def leave(*_: Any) -> None:
    """End the program at once."""
    os._exit(Interrupted.exit_code)


def listen() -> None:
    """Handle Ctrl-C and SIGTERM for the rest of the program."""
    state = InterruptState()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, state)
    sys.unraisablehook = state.redeliver


def _state() -> InterruptState:
    """The handler that listens; a new one, which nothing calls, if none does."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if isinstance(handler, InterruptState) else InterruptState()


@contextmanager
def raise_on(number: int) -> Iterator[InterruptState]:
    """Inside, signal `number` raises; an outer block that raises earlier prevails.

    If no handler listens, this block's does. In a thread that is inside `cancelled_by`, nothing
    raises in the middle of the block; its state is the one given there."""
    given = getattr(_thread, "state", None)
    if given is not None:
        if given.count >= number:
            raise KeyboardInterrupt
        yield given
        return
    before, state = signal.getsignal(signal.SIGINT), _state()
    with suppress(ValueError):
        signal.signal(signal.SIGINT, state)
    outer, state.raise_at = state.raise_at, state.raise_at or number
    try:
        if state.count >= state.raise_at:
            raise KeyboardInterrupt
        yield state
    finally:
        state.raise_at = outer
        with suppress(ValueError):
            signal.signal(signal.SIGINT, before)


@contextmanager
def cancelled_by(state: InterruptState) -> Iterator[None]:
    """Inside, in this thread, a call to a host is cancelled once `state.count` is 1, and given up
    once it is 2.

    `state`: that of a `raise_on` block of the main thread, for calls that Ctrl-C cancels; or one
    of its own, whose count the program sets."""
    _thread.state = state
    try:
        yield
    finally:
        _thread.state = None


@contextmanager
def suspended() -> Iterator[None]:
    """Inside, earlier signals do not count, so that a cleanup can complete."""
    state = _state()
    count, number = state.count, state.raise_at
    state.count = state.raise_at = 0
    try:
        yield
    finally:
        state.count, state.raise_at = state.count + count, number


def begin_report() -> InterruptState:
    """From now on the answer is printed: a signal is too late to cancel, but limits the time for
    printing."""
    state = _state()
    state.reporting = True
    return state


def interrupted_after_end(result: Any, fault: MlxopsError | None) -> Interrupted:
    """The error of a command that was interrupted and completed anyway."""
    end = f"the command failed: {fault.message}" if fault else _completed(result)
    outcome = {"error": fault.to_wire()} if fault else {"result": result}
    return Interrupted(f"interrupted; {end}", fault.hint if fault else "", outcome=outcome)


def _completed(result: Any) -> str:
    """How a command completed that was interrupted: it names the ports that it did not finish."""
    record = result if isinstance(result, dict) else {}
    ports = record.get("ports") or record.get("rows")
    rows = [row for row in ports if isinstance(row, dict)] if isinstance(ports, list) else []
    numbers = [str(row.get("port")) for row in rows if row.get("ok") is False]
    return f"not done: {', '.join(numbers)}" if numbers else "the command had already finished"
