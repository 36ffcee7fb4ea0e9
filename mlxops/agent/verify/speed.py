"""The speed that the last verify of a server measured, kept for those who may not send requests."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional

from ..clock import now
from ..procs import Process
from ..untrusted import parse_object, read_bounded

MAX_BYTES = 4096


class Speed(NamedTuple):
    """`at`: when it was measured, in UTC."""

    tokens_per_s: float
    at: str


def keep_speed(state_dir: str, port: int, server: Process, tokens_per_s: Optional[float]) -> None:
    """Best effort: without it only a column of the live view stays empty."""
    if tokens_per_s is None:
        return
    path = _path(state_dir, port)
    draft = "%s.%d.tmp" % (path, os.getpid())
    record = {"of": _identity(server), "tokens_per_s": tokens_per_s, "at": now()}
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(draft, "w") as f:
            json.dump(record, f)
        os.replace(draft, path)
    except OSError:
        return


def last_speed(state_dir: str, port: int, server: Process) -> Optional[Speed]:
    """None if this very process was never verified."""
    record: Dict[str, Any] = parse_object(read_bounded(_path(state_dir, port), MAX_BYTES))
    rate, at = record.get("tokens_per_s"), record.get("at")
    if record.get("of") != _identity(server) or not isinstance(rate, (int, float)):
        return None
    return Speed(float(rate), at if isinstance(at, str) else "")


def _identity(server: Process) -> List[Any]:
    return [server.pid, server.start_time]


def _path(state_dir: str, port: int) -> str:
    return os.path.join(state_dir, "run", "%d.speed.json" % port)
