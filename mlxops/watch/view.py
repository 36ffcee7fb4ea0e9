"""The live view at a terminal: it redraws what changed, and runs the usual verbs by one key."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..agent.errors import MlxopsError
from ..render.width import cut, width
from . import actions
from .feed import Feed
from .layout import Line, Options, Place, compose, first_line
from .prompt import Prompt, asked, confirmed
from .screen import Screen
from .section import REFUSED, Section
from .text import HELP, KEYS

TICK_INTERVAL_S = 1.0
MIN_LINES, MIN_COLUMNS = 5, 20
STEPS = {"KEY_UP": -1, "k": -1, "KEY_DOWN": 1, "j": 1}
PAGES = {"KEY_PPAGE": -1, "KEY_NPAGE": 1}
ENTER = ("\n", "\r", "KEY_ENTER")


@dataclass
class Watched:
    """A host of the view: what is known of it, and its connection; None if there cannot be one."""

    section: Section
    feed: Feed | None


class Inbox:
    """What the feeds report, taken in by the thread that draws."""

    def __init__(self) -> None:
        self._news: queue.SimpleQueue[tuple[Section, Any, float | None]] = queue.SimpleQueue()
        self.wake: Callable[[], None] = lambda: None

    def record(self, section: Section, record: dict[str, Any]) -> None:
        self._news.put((section, record, None))
        self.wake()

    def lost(self, section: Section, error: MlxopsError, retry_s: float | None) -> None:
        self._news.put((section, error, retry_s))
        self.wake()

    def take(self, now: float) -> list[tuple[Section, dict[str, Any]]]:
        """Bring the sections up to date; the records that said something new, in order."""
        news: list[tuple[Section, dict[str, Any]]] = []
        while True:
            try:
                section, item, retry_s = self._news.get_nowait()
            except queue.Empty:
                return news
            if isinstance(item, MlxopsError):
                if section.lose(item, now, retry_s):
                    news.append((section, {"event": "link"}))
            elif section.take(item, now):
                news.append((section, item))


class View:
    """`verbs`: the command lines that the keys run."""

    def __init__(
        self, hosts: Sequence[Watched], inbox: Inbox, options: Options, verbs: actions.Verbs
    ) -> None:
        self._hosts, self._inbox, self._verbs = hosts, inbox, verbs
        self._options = options
        self._selected: Place | None = None
        self._places: list[Place] = []
        self._start = 0
        self._prompt: Prompt | None = None
        self._help = False
        self._over = False

    def run(self, screen: Screen) -> None:
        """Until the user quits, or no host is left to wait for and none was ever there."""
        self._screen, self._inbox.wake = screen, screen.wake
        while not self._over:
            self._inbox.take(time.monotonic())
            if refusal(self._hosts):
                return
            self._draw()
            screen.wait(TICK_INTERVAL_S)
            for key in screen.pressed():
                self._press(key)

    def _draw(self) -> None:
        size = self._screen.size
        if size.lines < MIN_LINES or size.columns < MIN_COLUMNS:
            self._screen.draw([Line("too small")], None, "")
            return
        options = replace(self._options, style=replace(self._options.style, width=size.columns))
        lines = self._help_lines() if self._help else self._lines(options)
        height = size.lines - 1
        self._start = first_line(lines, self._selected, self._start, height)
        shown = lines[self._start : self._start + height]
        self._screen.draw(shown, self._selected, self._footer(len(lines), height, size.columns))

    def _lines(self, options: Options) -> list[Line]:
        lines = compose([one.section for one in self._hosts], options, time.monotonic())
        self._places = [line.place for line in lines if line.place]
        if self._selected not in self._places:
            self._selected = self._places[0] if self._places else None
        return lines

    def _help_lines(self) -> list[Line]:
        return [Line("mlxops status --watch", strong=True), Line(""), *map(Line, HELP)]

    def _footer(self, count: int, height: int, columns: int) -> str:
        if self._prompt:
            return cut(self._prompt.text, columns)
        if self._help:
            return "any key goes back".ljust(columns)
        more = f"  {self._start + 1}-{min(count, self._start + height)} of {count}"
        more = more if count > height else ""
        keys = cut(KEYS, columns - width(more))
        return keys + " " * (columns - width(keys) - width(more)) + more

    def _press(self, key: str) -> None:
        if self._prompt:
            self._prompt = self._prompt.press(key)
        elif self._help:
            self._help = False
        elif key in STEPS or key in ("KEY_HOME", "KEY_END"):
            self._move(key)
        elif key in PAGES:
            self._page(PAGES[key])
        else:
            self._command(key)

    def _move(self, key: str) -> None:
        if self._selected not in self._places:
            return
        last = len(self._places) - 1
        at = self._places.index(self._selected) + STEPS.get(key, 0)
        at = 0 if key == "KEY_HOME" else last if key == "KEY_END" else at
        self._selected = self._places[max(0, min(last, at))]
        if self._selected == self._places[0]:
            self._start = 0  # with its headings

    def _page(self, step: int) -> None:
        """Scroll, and take the selection along where there are rows."""
        page = max(1, self._screen.size.lines - 3)
        for _ in range(page):
            self._move("KEY_DOWN" if step > 0 else "KEY_UP")
        self._start = max(0, self._start + step * page)

    def _command(self, key: str) -> None:
        if key in ("q", "Q", "\x1b"):
            self._over = True
        elif key == "?":
            self._help = True
        elif key == "R":
            for one in self._hosts:
                if one.section.link.error and one.feed:
                    one.section.retry()
                    one.feed.retry()
        elif key == "a":
            self._away(actions.run, self._verbs.apply(self._host()))
        elif self._selected:
            self._on_port("d" if key in ENTER else key, self._selected)

    def _host(self) -> str:
        return self._selected.host if self._selected else self._hosts[0].section.name

    def _on_port(self, key: str, at: Place) -> None:
        """Run the verb of a key on a port, after a question if it stops something."""
        verbs, run = self._verbs, actions.run
        if key == "d":
            self._away(actions.page, verbs.show(at))
        elif key == "l":
            self._away(actions.page, verbs.logs(at))
        elif key == "L":
            self._prompt = asked(
                f"Load which model on {self._named(at)}? ",
                lambda model: self._away(run, verbs.load(at, model)),
            )
        elif key in _DESTRUCTIVE:
            verb, words = _DESTRUCTIVE[key]
            self._prompt = confirmed(
                f"{verb} {self._named(at)}? [y/N] ", lambda: self._away(run, words(verbs, at))
            )

    def _named(self, at: Place) -> str:
        """The port with what serves there, and its host if there are several."""
        section = next(one.section for one in self._hosts if one.section.name == at.host)
        row = next(r for r in section.result(time.monotonic())["ports"] if r["port"] == at.port)
        entry = f" ({row['entry']})" if row.get("entry") else ""
        where = f" on {at.host}" if len(self._hosts) > 1 else ""
        return f"{at.port}{entry}{where}"

    def _away(self, run: Callable[[Sequence[str]], None], words: Sequence[str]) -> None:
        with self._screen.away():
            run(words)


_DESTRUCTIVE: dict[str, tuple[str, Callable[[actions.Verbs, Place], list[str]]]] = {
    "u": ("Unload", actions.Verbs.unload),
    "r": ("Restart", actions.Verbs.restart),
    "c": ("Cancel the job on", actions.Verbs.cancel),
}


def refusal(hosts: Sequence[Watched]) -> MlxopsError | None:
    """Why there is nothing to watch: every host refused us, and none ever reported."""
    links = [one.section.link for one in hosts]
    if all(link.state == REFUSED and link.heard_at is None for link in links):
        return links[0].error
    return None
