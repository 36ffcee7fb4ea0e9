"""The command line of the stand-in model server, rejected where the real ones reject it. Runs on
Python 3.9 too."""

from __future__ import annotations

import re
import sys

from tests.support.fakeswitches import PROGRAM, is_openai


class Flags:
    """The command line, checked against the help text as click and argparse do."""

    def __init__(self, help_text: str) -> None:
        listed = r"^ +(?:-h, )?(--[\w-]+)(?:, --no-[\w-]+)?(?: (\S+))?(?: (?:or |\[).*)?(?: {2,}|$)"
        shown = re.findall(listed, help_text, re.M)
        self.takes = dict(shown)
        self.values: dict[str, str] = {}
        self.positional = ""

    def parse(self, words: list[str]) -> None:
        rest = list(words)
        if rest and not rest[0].startswith("-"):
            self.positional = rest.pop(0)
        while rest:
            flag, _, inline = rest.pop(0).partition("=")
            if flag not in self.takes:
                refuse(
                    f"No such option: {flag}" if is_openai() else f"unrecognized arguments: {flag}"
                )
            self.values[flag] = inline or (rest.pop(0) if self.takes[flag] and rest else "")
            self._check(flag, self.values[flag])

    def first(self, *names: str) -> str:
        """The value of the first of these options that was given."""
        return next((self.values[name] for name in names if self.values.get(name)), "")

    def _check(self, flag: str, value: str) -> None:
        choices = re.split(r"[|,]", self.takes[flag].strip("[]{}"))
        if self.takes[flag][:1] in ("[", "{") and value not in choices:
            refuse(f"Invalid value for {flag!r}: {value!r} is not one of {choices}.")


def shown_help(text: str, asked: str) -> str:
    """The help text; vllm lists its options only with --help=all."""
    return "Config Groups:\n" if PROGRAM.name == "vllm" and asked == "--help" else text


def refuse(message: str) -> None:
    print(f"Usage: {PROGRAM.name} [OPTIONS]\n\nError: {message}", file=sys.stderr)
    sys.exit(2)
