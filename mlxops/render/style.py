"""Colour, for a terminal that wants it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Grey is the dimmed text colour: "bright black" is invisible on some backgrounds.
_BOLD, _GREEN, _YELLOW, _RED, _GREY = 1, 32, 33, 31, 2
_STATES = {
    "ready": _GREEN,
    "starting": _YELLOW,
    "stopping": _YELLOW,
    "unknown": _YELLOW,
    "failed": _RED,
    "unresponsive": _RED,
    "dead-child": _RED,
    "free": _GREY,
}
_STEPS = {
    "same": _GREEN,
    "leave": _GREY,
    "blocked": _RED,
    "load": _YELLOW,
    "swap": _YELLOW,
    "restart": _YELLOW,
    "unload": _YELLOW,
    "download": _YELLOW,
}
_JOBS = {
    "running": _YELLOW,
    "done": _GREEN,
    "cancelled": _GREY,
    "failed": _RED,
    "killed": _RED,
}
_VERDICTS = {
    "ok": _GREEN,
    "fits": _GREEN,
    "warning": _YELLOW,
    "unknown": _YELLOW,
    "error": _RED,
    "failed": _RED,
}


@dataclass(frozen=True)
class Style:
    """`width`: columns of the terminal; None if lines may have any length. `quiet`: the user gave
    --quiet. `wide`: the user gave -o wide. `columns`: those named with --columns."""

    colour: bool = False
    width: int | None = None
    quiet: bool = False
    wide: bool = False
    columns: tuple[str, ...] = ()

    def idle(self, text: str) -> str:
        """A text that reports neither a change nor a problem: nothing with --quiet."""
        return "" if self.quiet else text

    def state(self, text: str) -> str:
        return self._paint(text, _STATES.get(text))

    def job(self, text: str) -> str:
        return self._paint(text, _JOBS.get(text))

    def verdict(self, text: str) -> str:
        return self._paint(text, _VERDICTS.get(text))

    def step(self, text: str) -> str:
        return self._paint(text, _STEPS.get(text))

    def wrong(self, text: str) -> str:
        return self._paint(text, _RED)

    def strong(self, text: str) -> str:
        return self._paint(text, _BOLD)

    def faint(self, text: str) -> str:
        return self._paint(text, _GREY)

    def _paint(self, text: str, code: int | None) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text


def style_for(terminal: bool, environ: Mapping[str, str], width: int | None = None) -> Style:
    """The style of a stream. `width`: see `Style`."""
    return Style(_wants_colour(terminal, environ), width)


def _wants_colour(terminal: bool, environ: Mapping[str, str]) -> bool:
    """Colours on a terminal, or anywhere with FORCE_COLOR or CLICOLOR_FORCE. NO_COLOR
    (no-color.org) wins."""
    if environ.get("NO_COLOR"):
        return False
    forced = (environ.get(name, "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE"))
    if any(value not in ("", "0", "false") for value in forced):
        return True
    return terminal and environ.get("TERM") != "dumb" and environ.get("CLICOLOR") != "0"
