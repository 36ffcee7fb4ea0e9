"""The result of a check, and the safe step that would fix it."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from ..context import Context
from ..errors import to_mlxops_error

OK, WARNING, ERROR, UNKNOWN = "ok", "warning", "wrong", "unknown"
FIX_COMMAND = "mlxops doctor --fix"
_NAMED = 5


class Fix(NamedTuple):
    """One safe step: `mkdir` and `chmod` give a folder of mlxops mode 0700, `remove` deletes a
    leftover, `cut` shortens a log that is too large."""

    action: str
    path: str
    reason: str


class Finding(NamedTuple):
    """One row. `detail` is a sentence, `fix` the command that fixes it, "" if there is nothing to
    fix."""

    check: str
    verdict: str
    detail: str
    fix: str = ""
    fixes: Tuple[Fix, ...] = ()

    def to_wire(self) -> Dict[str, Any]:
        fix = FIX_COMMAND if self.fixes and self.verdict != OK else self.fix
        return {
            "side": "host",
            "check": self.check,
            "verdict": self.verdict,
            "seen": self.detail,
            "mend": fix or None,
        }


Check = Callable[[Context], Iterable[Finding]]


def run_check(ctx: Context, name: str, check: Check) -> List[Finding]:
    """The findings of a check; if it raises, those up to then and the error."""
    findings: List[Finding] = []
    try:
        for row in check(ctx):
            findings.append(row)
    except Exception as exc:  # the other checks must still run
        error = to_mlxops_error(exc)
        findings.append(Finding(name, UNKNOWN, error.message, error.hint))
    return findings


def join_some(words: Sequence[object]) -> str:
    """The words with commas; of many only the first, and how many more."""
    more = " and %d more" % (len(words) - _NAMED) if len(words) > _NAMED else ""
    return ", ".join(str(word) for word in words[:_NAMED]) + more
