"""What a job takes back if it fails: a stack of steps."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ..errors import MlxopsError, to_mlxops_error

# Gets the error, which it may change; returns what became of the port, in words.
Step = Callable[[MlxopsError], str]


class Undo:
    """The steps of one job, the newest undone first.

    `evicted`: what became of each port that made room for the job, once it has failed or succeeded.
    """

    def __init__(self) -> None:
        self._steps: List[Tuple[Optional[Mapping[str, Any]], Step]] = []
        self.evicted: List[Dict[str, Any]] = []

    def push(self, step: Step, evicted: Optional[Mapping[str, Any]] = None) -> None:
        """`evicted`: the row of the port that made room; None for the job's own port."""
        self._steps.append((evicted, step))

    def commit(self) -> None:
        """The job has succeeded: nothing is undone any more."""
        self.evicted = [{**row, "outcome": "unloaded"} for row, _ in self._steps if row]
        self._steps = []

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """On failure undo the steps, and report in the error what became of each port."""
        try:
            yield
        except Exception as exc:
            error = to_mlxops_error(exc)
            while self._steps:
                row, step = self._steps.pop()
                outcome = _outcome(step, error)
                if row is None:
                    error.message += "; " + outcome
                    error.fields["rollback"] = outcome
                else:
                    self.evicted.insert(0, {**row, "outcome": outcome})
            self._report(error)
            raise error from exc

    def _report(self, error: MlxopsError) -> None:
        if self.evicted and "evicted" not in error.fields:
            rows = ["; port %d: %s" % (row["port"], row["outcome"]) for row in self.evicted]
            error.message += "".join(rows)
            error.fields["evicted"] = self.evicted


def _outcome(step: Step, error: MlxopsError) -> str:
    """What the step reports. If it fails itself, the steps below it are still undone."""
    try:
        return step(error)
    except Exception as exc:
        return "its state is unknown: %s" % to_mlxops_error(exc).message
