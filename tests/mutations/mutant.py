"""One safeguard removed from the code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Mutant:
    """`old`, which occurs exactly once in the file, becomes `new`; at least one of `tests` must
    then fail. Line breaks make no difference.

    `file` is below mlxops/."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def found(self, text: str) -> list[re.Match[str]]:
        """The matches of `old` in a text."""
        return list(re.finditer(self._pattern(), text))

    def apply(self, text: str) -> str:
        places = self.found(text)
        assert len(places) == 1, f"{self.name}: {len(places)} times in {self.file}: {self.old!r}"
        start, end = places[0].span()
        return text[:start] + self._indented(places[0][0]) + text[end:]

    def _pattern(self) -> str:
        """`old` with any white space between its words, and an optional comma before a closing
        bracket."""
        words = WORD.findall(self.old)
        parts = [re.escape(words[0])]
        for before, word in pairwise(words):
            parts.append(r"\s+" if re.match(r"\w", before) and re.match(r"\w", word) else r"\s*")
            parts.append((r"(?:,\s*)?" if word in ")]}" else "") + re.escape(word))
        leading = r"[ ]*" if self.old.startswith(" ") else ""
        trailing = r"[ ]*\n" if self.old.endswith("\n") else ""
        return leading + "".join(parts) + trailing

    def _indented(self, place: str) -> str:
        """`new`, with the indentation of the code that it replaces."""
        further = indentation(place) - indentation(self.old)
        if further <= 0:
            return re.sub(rf"(?m)^ {{{-further}}}", "", self.new)
        return re.sub(r"(?m)^(?=.)", " " * further, self.new)


def indentation(text: str) -> int:
    return len(text) - len(text.lstrip(" "))
