"""The terminal in curses' hands: only cells that changed are written, and however the view ends,
the terminal is as before."""

from __future__ import annotations

import curses
import locale
import os
import re
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from .layout import GUTTER, Line, Place

_CODE = re.compile(r"\x1b\[(\d*)m")
_COLOURS = {"31": curses.COLOR_RED, "32": curses.COLOR_GREEN, "33": curses.COLOR_YELLOW}
MARK = "> "


class NoScreen(Exception):
    """The terminal cannot do what the view needs."""


class Screen:
    """Use as a context. wait() returns when a key was pressed, the size changed, or wake() was
    called."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour
        self._woken, self._waker = os.pipe()
        for fd in (self._woken, self._waker):
            os.set_blocking(fd, False)

    def __enter__(self) -> Screen:
        locale.setlocale(locale.LC_ALL, "")
        try:
            curses.setupterm(fd=sys.stdout.fileno())
            if curses.tigetstr("cup") is None or curses.tigetstr("clear") is None:
                raise NoScreen
            self._window = curses.initscr()
        except curses.error:
            raise NoScreen from None
        try:
            self._begin()
        except BaseException:
            curses.endwin()
            raise
        return self

    def _begin(self) -> None:
        curses.noecho()
        curses.cbreak()
        curses.set_escdelay(25)
        self._window.keypad(True)
        self._window.nodelay(True)
        with suppress(curses.error):
            curses.curs_set(0)
        self._pairs: dict[str, int] = {}
        if self._colour:
            with suppress(curses.error):
                self._begin_colours()
        self._before = signal.signal(signal.SIGWINCH, lambda *_: self.wake())
        self._size = os.terminal_size((curses.COLS, curses.LINES))

    def _begin_colours(self) -> None:
        curses.start_color()
        curses.use_default_colors()
        if not curses.has_colors():
            return
        for number, (code, colour) in enumerate(_COLOURS.items(), 1):
            curses.init_pair(number, colour, -1)
            self._pairs[code] = curses.color_pair(number)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGWINCH, self._before)
        with suppress(curses.error):
            curses.curs_set(1)
        with suppress(curses.error):
            curses.endwin()

    def wake(self) -> None:
        """End wait(). From any thread, or a signal."""
        with suppress(BlockingIOError):
            os.write(self._waker, b"w")

    def wait(self, seconds: float) -> None:
        fds = [sys.stdin.fileno(), self._woken]
        select.select(fds, [], [], seconds)
        with suppress(BlockingIOError):
            while os.read(self._woken, 1024):
                pass

    def pressed(self) -> Iterator[str]:
        """The keys pressed since the last call: a character, or curses' name such as KEY_UP."""
        while True:
            try:
                key = self._window.get_wch()
            except curses.error:
                return
            yield key if isinstance(key, str) else curses.keyname(key).decode()

    @property
    def size(self) -> os.terminal_size:
        """The size now. After a change, all of the screen is drawn again."""
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return self._size
        if size != self._size and size.columns and size.lines:
            self._size = size
            curses.resizeterm(size.lines, size.columns)
            self._window.clear()
        return self._size

    def draw(self, lines: Sequence[Line], selected: Place | None, footer: str) -> None:
        """Show the lines from the top, and the footer in the last line."""
        self._window.erase()
        for number, line in enumerate(lines[: self._size.lines - 1]):
            is_selected = line.place is not None and line.place == selected
            self._put(number, line, is_selected)
        self._write(self._size.lines - 1, 0, footer, curses.A_REVERSE)
        self._window.refresh()

    def _put(self, number: int, line: Line, is_selected: bool) -> None:
        base = (curses.A_BOLD if line.strong else 0) | (curses.A_DIM if line.stale else 0)
        base |= curses.A_REVERSE if is_selected else 0
        text = MARK + line.text[GUTTER:] if is_selected else line.text
        column = 0
        for part, code in spans(text):
            attribute = curses.A_DIM if code == "2" else self._pairs.get(code, 0)
            column = self._write(number, column, part, base | (0 if line.stale else attribute))

    def _write(self, row: int, column: int, text: str, attribute: int) -> int:
        """Write one part; return the column behind it. What does not fit is cut by curses, which
        reports the last cell of the screen as an error."""
        encoding = self._window.encoding
        plain = text.encode(encoding, "replace").decode(encoding)
        with suppress(curses.error):
            self._window.addnstr(row, column, plain, self._size.columns - column, attribute)
        return self._window.getyx()[1] if self._window.getyx()[0] == row else self._size.columns

    @contextmanager
    def away(self) -> Iterator[None]:
        """Give the terminal to another program meanwhile. Its Ctrl-C is not this program's."""
        curses.def_prog_mode()
        curses.endwin()
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            curses.reset_prog_mode()
            self._window.clear()
            with suppress(curses.error):
                curses.curs_set(0)


def spans(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a painted line, each with the code of its colour, "" for none."""
    parts = _CODE.split(text)
    code = ""
    for at, part in enumerate(parts):
        if at % 2:
            code = "" if part in ("", "0") else part
        elif part:
            yield part, code
