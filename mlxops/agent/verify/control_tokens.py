"""Find the marks of model families in an answer, which clients must never see. Pure.

A mark that an answer quotes as code does not count: a user may well ask about such marks."""

from __future__ import annotations

import re
from typing import Iterator, List, Mapping, Pattern, Sequence, Tuple

from ..formats.marks import ALL_MARKS

# What ordinary text contains too, with the form that only a leak has: an end of a struck passage in
# HTML, the usage of a program, a key of a keyboard, a parameter in HTML or in a C# comment.
_FORMS: Mapping[str, Pattern[str]] = {
    "</s>": re.compile(r"\A(?:(?!<s>)[\s\S])*</s>"),
    "[ARGS]": re.compile(r"\[ARGS\]\s{0,9}\{"),
    "<escape>": re.compile(r"<escape>[^<>]{0,2000}<escape>"),
    "<param name=": re.compile(
        r"^(?![ \t]*(?:///|'''|\*))[^\n]{0,2000}<param name=\"[^\"<>\n]{0,200}\">", re.M
    ),
}
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_SPAN = re.compile(r"(?<!`)(`{1,2})(?!`)[^`\n]{1,300}\1(?!`)")


def find_leaks(text: str, more: Sequence[str] = ()) -> Tuple[str, ...]:
    """The marks in the content or reasoning of an answer, in the order of the tables. `more`: marks
    to look for besides."""
    prose = _SPAN.sub(" ", "\n".join(_unfenced(text.split("\n"))))
    # One that is made up of known marks would be reported twice.
    new = (mark for mark in more if not any(known in mark for known in ALL_MARKS))
    return tuple(m for m in (*ALL_MARKS, *new) if m in prose and _is_leak(m, prose))


def _is_leak(mark: str, prose: str) -> bool:
    form = _FORMS.get(mark)
    return form is None or form.search(prose) is not None


def _unfenced(lines: Sequence[str]) -> Iterator[str]:
    """The lines outside of fenced code. A fence that never closes fences nothing in."""
    fenced: List[str] = []
    fence = ""
    for line in lines:
        match = _FENCE.match(line)
        if not fence and match:
            fence, fenced = match[1], [line]
        elif fence and match and match[1].startswith(fence) and not match[2].strip():
            fence, fenced = "", []
        elif fence:
            fenced.append(line)
        else:
            yield line
    yield from fenced
