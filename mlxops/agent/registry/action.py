"""One row of a plan, as every verb reports it."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional


class Action(NamedTuple):
    """One change: what, to which entry and port, and why. `applied`: it was made."""

    action: str
    entry: Optional[str]
    port: Optional[int]
    reason: str
    applied: bool = False

    def to_wire(self) -> Dict[str, Any]:
        return self._asdict()
