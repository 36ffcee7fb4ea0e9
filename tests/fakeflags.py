"""The command line of the stand-in model server, refused where the real ones would. Python 3.9."""

from __future__ import annotations

import re
import sys

from fakeswitches import PROGRAM, is_openai


class Flags:
    """The command line, checked against the help text as click and argparse do."""

    def __init__(self, help_text: str) -> None:
        shown = re.findall(r"^ +(?:-h, )?(--[\w-]+)(?: (\S+))?(?: {2,}|$)", help_text, re.M)
        self.takes = dict(shown)
        self.values: dict[str, str] = {}

    def parse(self, words: list[str]) -> None:
        rest = list(words)
        while rest:
            flag, _, inline = rest.pop(0).partition("=")
            if flag not in self.takes:
                refuse(f"No such option: {flag}" if is_openai() else f"unrecognized arguments: {flag}")
            self.values[flag] = inline or (rest.pop(0) if self.takes[flag] and rest else "")
            self._check(flag, self.values[flag])

    def _check(self, flag: str, value: str) -> None:
        choices = re.split(r"[|,]", self.takes[flag].strip("[]{}"))
        if self.takes[flag][:1] in ("[", "{") and value not in choices:
            refuse(f"Invalid value for {flag!r}: {value!r} is not one of {choices}.")


def refuse(message: str) -> None:
    print(f"Usage: {PROGRAM.name} [OPTIONS]\n\nError: {message}", file=sys.stderr)
    sys.exit(2)
