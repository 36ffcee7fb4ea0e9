"""What a check found, and the harmless step that would mend it. Values, and how a check is kept
from ending others."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from ..context import Context
from ..errors import to_mlxops_error

OK, WARNING, ERROR, UNKNOWN = "ok", "warning", "wrong", "unknown"
FIX_COMMAND = "mlxops doctor --fix"
_NAMED = 5


class Fix(NamedTuple):
    """One harmless step: `mkdir` and `chmod` give a folder of ours mode 0700, `remove` takes a
    leftover away, `cut` shortens a log that is too large."""

    action: str
    path: str
    reason: str


class Finding(NamedTuple):
    """One row. `seen` is a sentence, `mend` the command that mends it, "" where there is nothing to
    mend."""

    check: str
    verdict: str
    detail: str
    fix: str = ""
    fixes: Tuple[Fix, ...] = ()

    def to_wire(self) -> Dict[str, Any]:
        mend = FIX_COMMAND if self.fixes and self.verdict != OK else self.fix
        return {
            "side": "host",
            "check": self.check,
            "verdict": self.verdict,
            "seen": self.detail,
            "mend": mend or None,
        }


Check = Callable[[Context], Iterable[Finding]]


def run_check(ctx: Context, name: str, check: Check) -> List[Finding]:
    """All that a check finds; where it breaks, a row that says so instead of the rest."""
    found: List[Finding] = []
    try:
        for row in check(ctx):
            found.append(row)
    except Exception as exc:  # whatever it is, the other checks still count
        error = to_mlxops_error(exc)
        found.append(Finding(name, UNKNOWN, error.message, error.hint))
    return found


def join_some(words: Sequence[object]) -> str:
    """The words with commas, the first few and a count where there are many."""
    more = " and %d more" % (len(words) - _NAMED) if len(words) > _NAMED else ""
    return ", ".join(str(word) for word in words[:_NAMED]) + more
