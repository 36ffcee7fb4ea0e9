"""The view without a terminal: a fresh table, or a line of JSON, each time something changed."""

from __future__ import annotations

import json
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..agent.errors import MlxopsError
from .layout import Options, compose
from .section import LOST, Section
from .view import Inbox, Watched, refusal

POLL_INTERVAL_S = 1.0
Print = Callable[[str], None]


class Plain:
    """Prints until the reader of the output has gone, or no host is left to wait for."""

    def __init__(self, hosts: Sequence[Watched], inbox: Inbox, print_now: Print) -> None:
        self._hosts, self.inbox, self._print = hosts, inbox, print_now
        self._woken = threading.Event()
        inbox.wake = self._woken.set

    def tables(self, options: Options) -> MlxopsError | None:
        """A table of all hosts per change, at most one per interval."""
        printed_at = float("-inf")
        due = False
        while True:
            now = time.monotonic()
            due = any(_is_news(record) for _, record in self.inbox.take(now)) or due
            error = refusal(self._hosts)
            if error or closed():
                return error
            if due and now - printed_at >= options.usual_s and self._each_reported():
                lines = compose([one.section for one in self._hosts], options, now)
                stamp = time.strftime("%H:%M:%S")
                self._print("\n".join([f"-- {stamp}", *(line.text for line in lines), ""]))
                printed_at, due = now, False
            self._wait()

    def documents(self) -> MlxopsError | None:
        """One JSON object per line for each record and each lost link."""
        while True:
            for section, record in self.inbox.take(time.monotonic()):
                line = _link(section) if record["event"] == "link" else record
                self._print(json.dumps({"host": section.name, **line}))
            error = refusal(self._hosts)
            if error or closed():
                return error
            self._wait()

    def _each_reported(self) -> bool:
        """Whether each host has reported, or failed to."""
        return all(one.section.known or one.section.link.error for one in self._hosts)

    def _wait(self) -> None:
        self._woken.wait(POLL_INTERVAL_S)
        self._woken.clear()


def _is_news(record: dict[str, Any]) -> bool:
    """Whether a table is worth repeating: the memory of the host always changes a little."""
    return bool(set(record) - {"event", "at", "memory"}) or record["event"] == "link"


def _link(section: Section) -> dict[str, object]:
    link = section.link
    error = link.error.to_wire() if link.error else None
    return {"event": "link", "state": link.state, "retried": link.state == LOST, "error": error}


def closed() -> bool:
    """Whether nobody reads standard output any more."""
    try:
        watched = select.poll()
        watched.register(sys.stdout.fileno(), 0)
        return any(events & (select.POLLERR | select.POLLNVAL) for _, events in watched.poll(0))
    except (OSError, ValueError):
        return False
