"""`python -m tests.faults.soak -n N`: N faults at random steps of all verbs, and the table of what came of them."""

from __future__ import annotations

import argparse
import random
import sys
import time

from .agentcall import Step
from .campaign import errors, hosts, kills, sample, table
from .cases import CASES
from .trial import Outcome


def main() -> int:
    asked = arguments()
    dice = random.Random(asked.seed)
    began = time.monotonic()
    steps: dict[str, tuple[Step, ...]] = {}
    outcomes: list[Outcome] = []
    with hosts(asked.jobs) as farm:
        while len(outcomes) < asked.n:
            for name in asked.verbs:
                # Surveyed again every round: timing decides which steps a run has.
                steps[name] = farm.steps(CASES[name])
                share = -(-min(asked.n, asked.round) // len(asked.verbs))
                wanted = sample(kills(steps[name]), share // 2, dice) + sample(errors(steps[name]), share // 2, dice)
                outcomes += farm.strike(CASES[name], wanted, tell)
                print(f"{name}: {len(wanted)} faults, {len(outcomes)} in all", file=sys.stderr, flush=True)
    print(table(steps, outcomes))
    print(f"\nseed {asked.seed}, {time.monotonic() - began:.0f} s")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="how many faults, about")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="trials at the same time")
    parser.add_argument("--round", type=int, default=1000, help="faults between two surveys of the steps")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("verbs", nargs="*", choices=[[], *CASES], help="these only")
    asked = parser.parse_args()
    asked.verbs = asked.verbs or list(CASES)
    return asked


def tell(outcome: Outcome) -> None:
    if outcome.violations:
        print(outcome, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
