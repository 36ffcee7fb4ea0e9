"""Run the stub as the loader on the host does, with a saboteur inside: `python stubsaboteur.py
PLANFILE`.

The stub and the code it unpacks with arrive as text, so their lines are those of "<string>".
Standard library only, Python 3.9."""

from __future__ import annotations

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from saboteur import Saboteur, wrap  # type: ignore[import-not-found,unused-ignore]

TEXT = "<string>"


class StubSaboteur(Saboteur):
    """Its places are call paths through the stub."""

    _agent = TEXT

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, TEXT if name == "_agent" else value)


def main() -> None:
    source = sys.stdin.buffer
    text = source.read(int(source.readline()))
    if os.path.exists(sys.argv[1]):
        with open(sys.argv[1]) as file:
            plan = json.load(file)
        saboteur = StubSaboteur("", plan, wire=-1)
        wrap(saboteur)
        sys.addaudithook(saboteur.audit)
    exec(compile(text, TEXT, "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
