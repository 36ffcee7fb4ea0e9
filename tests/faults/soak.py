"""`python -m tests.faults.soak -n N`: inject N faults at steps of all verbs, and print the table of
outcomes."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .agentcall import Blow
from .campaign import Hosts, hosts
from .cases import CASES
from .kinds import blows
from .tally import Line, key, name_of, pythons, read, surveyed, table, told


class Soak:
    """The faults injected so far, here and in earlier parts, and the next ones: always those
    injected least often."""

    def __init__(self, kept: Sequence[Line], keep: Path | None, dice: random.Random) -> None:
        self.lines: list[Line] = []
        self._times = Counter(key(line) for line in kept if line.get("struck"))
        self._keep = keep
        self._dice = dice

    def round(self, farm: Hosts, verbs: Sequence[str], count: int) -> None:
        """About this many faults, distributed over the verbs by the number of different faults that
        apply to their steps."""
        fitting = {name: self._survey(farm, name) for name in verbs}
        every = sum(map(len, fitting.values()))
        for name, fits in fitting.items():
            chosen = self._next(farm, name, fits, -(-count * len(fits) // every))
            farm.strike(CASES[name], chosen, lambda outcome: self._note(told(outcome, farm.python)))
            print(f"{name}: {len(chosen)} faults, {self.done} in all", file=sys.stderr, flush=True)

    @property
    def done(self) -> int:
        return sum("struck" in line for line in self.lines)

    def _survey(self, farm: Hosts, name: str) -> list[Blow]:
        """Repeated every round, because the steps of a run depend on timing."""
        steps = farm.steps(CASES[name])
        self._note(surveyed(name, farm.python, steps))
        return blows(steps)

    def _next(self, farm: Hosts, name: str, fits: Sequence[Blow], count: int) -> list[Blow]:
        def struck(blow: Blow) -> tuple[int, float]:
            return self._times[
                key({"case": name, "python": farm.python, **name_of(blow)})
            ], self._dice.random()

        return sorted(fits, key=struck)[:count]

    def _note(self, line: Line) -> None:
        self.lines.append(line)
        if line.get("struck"):
            self._times[key(line)] += 1
        if line.get("violations"):
            print(json.dumps(line), file=sys.stderr, flush=True)
        if self._keep:
            with self._keep.open("a") as file:
                file.write(json.dumps(line) + "\n")


def main() -> int:
    asked = arguments()
    if asked.table:
        return tell(read(asked.table))
    # Prints its results when `timeout` ends it, too.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, end)
    began = time.monotonic()
    soak = Soak(read([asked.keep] if asked.keep else []), asked.keep, random.Random(asked.seed))
    status = strike(soak, asked)
    print(f"seed {asked.seed}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    return tell(soak.lines) or status


def end(*_: Any) -> None:
    """Stop once: running trials finish first."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    raise KeyboardInterrupt


def strike(soak: Soak, asked: Any) -> int:
    """Run until all faults are injected or Ctrl-C arrives; the exit status."""
    try:
        with hosts(asked.jobs, python=asked.python) as farm:
            while soak.done < asked.n:
                soak.round(farm, asked.verbs, min(asked.n - soak.done, asked.round))
    except KeyboardInterrupt:
        return 130
    return 0


def tell(lines: Sequence[Line]) -> int:
    """Print the table; 1 if anything was violated."""
    if any("struck" in line for line in lines):
        print(f"{table(lines)}\n\n{pythons(lines)}.")
    return 1 if any(line.get("violations") for line in lines) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="how many faults, about")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="trials at the same time")
    parser.add_argument(
        "--python", default=sys.executable, help="the agent's interpreter, such as a Python 3.9"
    )
    parser.add_argument(
        "--keep", type=Path, help="add every outcome to this file; what it holds is struck last"
    )
    parser.add_argument(
        "--table", type=Path, nargs="+", metavar="FILE", help="only print the table of kept files"
    )
    parser.add_argument(
        "--round", type=int, default=2000, help="faults between two surveys of the steps"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("verbs", nargs="*", choices=[[], *CASES], help="these only")
    asked = parser.parse_args()
    asked.verbs = asked.verbs or list(CASES)
    return asked


if __name__ == "__main__":
    sys.exit(main())
