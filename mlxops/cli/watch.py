"""What is watched until one has seen enough: Ctrl-C is the way to leave it, and no failure."""

from __future__ import annotations

from collections.abc import Callable

from ..agent.errors import Interrupted
from ..interrupts import raise_on
from .run import Answer


def watch_until_interrupt(look: Callable[[], Answer], parting: str) -> Answer:
    """The answer of a call that Ctrl-C ends at once; people who leave are told `parting`, if it
    says anything.

    The exit status remains that of an interrupted command: what was watched had not come to its
    end."""
    with raise_on(1) as presses:
        try:
            return look()
        except (Interrupted, KeyboardInterrupt):
            if not presses.count:
                raise  # the job's own end
            return Answer(None, None, Interrupted(f"left; {parting}".rstrip("; ")), parting)
