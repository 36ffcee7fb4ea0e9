"""The options in a program's help, and the words of a command line that do not match them. Pure.

Understands the help of click and argparse. With another layout no word is rejected."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

MAX_HELP_BYTES = 256 << 10
CLICK, ARGPARSE = "click", "argparse"
_USAGE = re.compile(r"^(usage|Usage): (.{0,2000})", re.M)
# The line of an option: a few blanks, its spellings, two blanks, its description.
_LINE = re.compile(r"^ {1,8}(-[^\n]{0,4000}?)(?: {2,}.*)?$", re.M)
_SPELLING = re.compile(r"(--?[A-Za-z][\w-]*)(?:[ =](.+))?")
_SHOWN = 80
_NUMBERS = {"INTEGER": int, "FLOAT": float}
_NAMES = {"INTEGER": "a whole number", "FLOAT": "a number"}


class Option(NamedTuple):
    """`values`: the number of words after it, None if uncertain. `choices`: all that it accepts, if
    listed."""

    values: Optional[int]
    number: str = ""
    choices: Tuple[str, ...] = ()


class Grammar(NamedTuple):
    """`closed`: the program takes no positional arguments."""

    style: str
    options: Dict[str, Option]
    closed: bool


class Fault(NamedTuple):
    """A word that the program would refuse, and why."""

    word: str
    why: str


def grammar(help_text: str) -> Optional[Grammar]:
    """Parse a help text; None if it is neither click's nor argparse's."""
    text = help_text[:MAX_HELP_BYTES]
    usage = _USAGE.search(text)
    if usage is None:
        return None
    if usage[1] == "Usage":
        if not re.search(r"^Options:$", text, re.M):
            return None
        return Grammar(CLICK, _options(text, CLICK), usage[2].rstrip().endswith("[OPTIONS]"))
    # A line that starts with a word without a dash may be a positional argument.
    closed = not re.search(r"^ {2}[^\s-]", text, re.M)
    return Grammar(ARGPARSE, _options(text, ARGPARSE), closed)


def _options(text: str, style: str) -> Dict[str, Option]:
    found: Dict[str, Option] = {}
    for line in _LINE.finditer(text):
        spellings = [_SPELLING.fullmatch(part) for part in re.split(r", | / ", line[1])]
        known = [spelling for spelling in spellings if spelling]
        metavar = next((s[2] for s in reversed(known) if s[2]), "")
        whole = len(known) == len(spellings)
        for spelling in known:
            found[spelling[1]] = _option(metavar, style) if whole else Option(None)
    return found


def _option(metavar: str, style: str) -> Option:
    if not metavar:
        return Option(0)
    kind, _, rest = metavar.partition(" ")
    if style == CLICK and kind in _NUMBERS and (not rest or rest.startswith("RANGE")):
        return Option(1, number=kind)
    if rest or "..." in metavar:
        return Option(None)
    if style == CLICK and metavar[0] + metavar[-1] == "[]":
        return Option(1, choices=tuple(metavar[1:-1].split("|")))
    if style == ARGPARSE and metavar[0] + metavar[-1] == "{}":
        return Option(1, choices=tuple(metavar[1:-1].split(",")))
    # argparse shows an optional value in brackets.
    return Option(None if "[" in metavar else 1)


def find_faults(known: Grammar, words: Sequence[str]) -> Iterator[Fault]:
    """The words that the program is certain to refuse, apart from unknown options."""
    rest: List[str] = list(words)
    open_end = False
    while rest:
        word = rest.pop(0)
        if word == "--":
            return
        if not word.startswith("-") or _is_number(word):
            if known.closed and not open_end:
                yield Fault(word, "%s belongs to no option" % word[:_SHOWN])
            continue
        name, equals, value = word.partition("=")
        option = known.options.get(name, Option(None))
        open_end = option.values is None
        if option.values == 0 and equals:
            yield Fault(word, "%s takes no value" % name)
        elif option.values == 1:
            given = value if equals else _next(known, rest)
            why = _refused(name, option, given)
            if why:
                yield Fault(name if given is None else given, why)


def _next(known: Grammar, rest: List[str]) -> Optional[str]:
    """Take the value of an option off the rest: click takes any word, argparse none that looks like
    an option."""
    if (
        rest
        and known.style == ARGPARSE
        and rest[0].startswith("-")
        and rest[0] != "-"
        and " " not in rest[0]
    ):
        return rest.pop(0) if _is_number(rest[0]) else None
    return rest.pop(0) if rest else None


def _refused(name: str, option: Option, value: Optional[str]) -> str:
    if value is None:
        return "%s needs a value" % name
    if option.number:
        try:
            _NUMBERS[option.number](value)
        except ValueError:
            return "%s %s: %s is not %s" % (
                name,
                value[:_SHOWN],
                value[:_SHOWN],
                _NAMES[option.number],
            )
    # Some programs ignore the case of choices.
    if option.choices and value.casefold() not in [choice.casefold() for choice in option.choices]:
        return "%s %s is not one of %s" % (name, value[:_SHOWN], ", ".join(option.choices))
    return ""


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
