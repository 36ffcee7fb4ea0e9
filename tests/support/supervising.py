"""Cron's `reconcile -q --restart` on a Studio, and its journal of starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Answer, Studio, finished

Lines = list[dict[str, Any]]


def cron(studio: Studio, *more: object) -> Answer:
    return finished(studio.start("reconcile", "-q", "--restart", *more))


def restarts(studio: Studio, *more: str) -> dict[int, tuple[str, str]]:
    """Port -> the verdict of a run, and its reason."""
    rows = studio.must("reconcile", "--restart", *more)["restarts"]
    return {row["port"]: (row["verdict"], row["reason"]) for row in rows}


def journal_path(studio: Studio) -> Path:
    return studio.state_dir / "starts.jsonl"


def journal(studio: Studio) -> Lines:
    path = journal_path(studio)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rewrite(studio: Studio, lines: Lines) -> None:
    journal_path(studio).write_text("".join(json.dumps(line) + "\n" for line in lines))


def let_pass(studio: Studio, minutes: float) -> None:
    """Make all starts on record so much older."""
    past = 60 * minutes
    aged = [{**one, "at": one["at"] - past, "up_s": one["up_s"] - past} for one in journal(studio)]
    rewrite(studio, aged)


def started(runtime: FakeRuntime, model: str) -> int:
    """How often servers of a model were started."""
    return sum(model in " ".join(one["argv"]) for one in runtime.journal("started"))
