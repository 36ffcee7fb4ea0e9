"""The outcomes of faults, as lines of JSON that can be stored, and as the table of
docs/lab/faults.md.

A line is an outcome, or the survey before it: {"case", "python", "effects", "looks", "faults"}."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from .agentcall import Blow, Step
from .cases import CASES
from .kinds import KIND_OF, KINDS, blows, near
from .trial import Outcome

Line = Mapping[str, Any]
HEADS = (
    "verb",
    "effects",
    "looks",
    "faults",
    *KINDS,
    "struck",
    "different",
    "not met",
    "violations",
)


def surveyed(case: str, python: str, steps: Sequence[Step]) -> Line:
    looks = [step.look for step in near(steps)]
    counts = {
        "effects": looks.count(False),
        "looks": looks.count(True),
        "faults": len(blows(steps)),
    }
    return {"case": case, "python": python, **counts}


def told(outcome: Outcome, python: str) -> Line:
    fault = outcome.blow.fault
    came = {key: getattr(outcome, key) for key in ("struck", "ended", "violations", "seconds")}
    return {
        "case": outcome.case,
        "python": python,
        "kind": KIND_OF[fault],
        **name_of(outcome.blow),
        **came,
    }


def name_of(blow: Blow) -> Line:
    return {
        "fault": blow.fault,
        "event": blow.step.event,
        "place": blow.step.place,
        "nth": blow.step.nth,
    }


def key(line: Line) -> tuple[Any, ...]:
    """Equal for the same fault at the same step."""
    return tuple(line[part] for part in ("case", "python", "fault", "event", "place", "nth"))


def read(files: Iterable[Path]) -> list[Line]:
    return [
        json.loads(line)
        for file in files
        if file.exists()
        for line in file.read_text().splitlines()
    ]


def table(lines: Sequence[Line]) -> str:
    """Per verb: its steps, the faults that apply to them, the injected ones by kind, how many of
    these were different, those whose step did not happen, and the violations. As markdown."""
    rows = {name: _row([line for line in lines if line["case"] == name]) for name in CASES}
    rows = {name: row for name, row in rows.items() if any(row)}
    total = ["all", *(sum(column) for column in zip(*rows.values(), strict=True))]
    body = [[name, *row] for name, row in rows.items()]
    return tabulate([*body, total] if len(body) > 1 else body, headers=HEADS, tablefmt="github")


def _row(lines: Sequence[Line]) -> list[int]:
    surveys = [line for line in lines if "effects" in line]
    outcomes = [line for line in lines if "struck" in line]
    steps = [
        max((survey[count] for survey in surveys), default=0)
        for count in ("effects", "looks", "faults")
    ]
    struck = [line for line in outcomes if line["struck"]]
    kinds = Counter(line["kind"] for line in struck)
    missed, violated = (
        len(outcomes) - len(struck),
        sum(bool(line["violations"]) for line in outcomes),
    )
    return [
        *steps,
        *(kinds[kind] for kind in KINDS),
        len(struck),
        len(set(map(key, struck))),
        missed,
        violated,
    ]


def pythons(lines: Iterable[Line]) -> str:
    """How many faults were injected under which Python."""
    counts = Counter(line["python"] for line in lines if line.get("struck"))
    return ", ".join(f"{count} under Python {python}" for python, count in sorted(counts.items()))
