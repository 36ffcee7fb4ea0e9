"""Calls that run until the user presses Ctrl-C: the normal way to end them, not a failure."""

from __future__ import annotations

from collections.abc import Callable

from ..agent.errors import Interrupted
from ..interrupts import raise_on
from .run import Answer


def until_interrupt(call: Callable[[], Answer], goodbye: str) -> Answer:
    """The answer of a call that Ctrl-C ends at once; then `goodbye` is printed, if not empty.

    The exit status is still that of an interrupted command, because the job had not ended."""
    with raise_on(1) as presses:
        try:
            return call()
        except (Interrupted, KeyboardInterrupt):
            if not presses.count:
                raise  # the job itself was interrupted
            return Answer(None, None, Interrupted(goodbye or "stopped"), goodbye)
