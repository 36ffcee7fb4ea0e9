"""A question in the last line of the view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

ENTER, ERASE = ("\n", "\r", "KEY_ENTER"), ("\b", "\x7f", "KEY_BACKSPACE")
ESCAPE, CLEAR = "\x1b", "\x15"
MAX_TYPED = 200


@dataclass(frozen=True)
class Prompt:
    """`then` is called with what was typed; an empty line and Escape call nothing. `one_key`: the
    answer is a single key."""

    question: str
    then: Callable[[str], None]
    one_key: bool = False
    typed: str = ""

    @property
    def text(self) -> str:
        return self.question if self.one_key else f"{self.question}{self.typed}_"

    def press(self, key: str) -> Prompt | None:
        """The prompt after a key; None once it is answered."""
        if key == ESCAPE:
            return None
        if self.one_key:
            self.then(key)
            return None
        if key in ENTER:
            if self.typed.strip():
                self.then(self.typed.strip())
            return None
        if key in ERASE:
            return replace(self, typed=self.typed[:-1])
        if key == CLEAR:
            return replace(self, typed="")
        if len(key) == 1 and key.isprintable() and len(self.typed) < MAX_TYPED:
            return replace(self, typed=self.typed + key)
        return self


def asked(question: str, then: Callable[[str], None]) -> Prompt:
    """A question that a line of text answers."""
    return Prompt(question, then)


def confirmed(question: str, then: Callable[[], None]) -> Prompt:
    """A question that only the key y answers with yes."""
    return Prompt(question, lambda key: then() if key in ("y", "Y") else None, one_key=True)
