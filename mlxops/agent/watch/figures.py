"""Tokens per second without a request: from the server's own log, else from the last verify."""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Optional, Tuple

from ..clock import utc
from ..ports.evidence import Server
from ..site import log_path
from ..untrusted import read_bounded
from ..verify.speed import Speed, last_speed

MAX_TAIL_BYTES = 8 << 10
# vllm: "Avg generation throughput: 31.4 tokens/s"; others: "31.4 tok/s", "tokens-per-sec: 31.4".
RATES = (
    re.compile(
        rb"generation[^\n,]{0,40}?(\d{1,6}(?:\.\d{1,6})?) ?(?:tokens?|tok)/s(?:ec)?\b", re.I
    ),
    re.compile(rb"(\d{1,6}(?:\.\d{1,6})?) ?(?:tokens?|tok)(?:/s(?:ec)?\b| per sec)", re.I),
    re.compile(rb"(?:tokens|tok)[-_ ]per[-_ ]sec\w{0,4}[:= ]{1,3}(\d{1,6}(?:\.\d{1,6})?)", re.I),
)


def logged_rate(tail: bytes) -> Optional[float]:
    """The last rate of generation that a log names; None if it names none."""
    for pattern in RATES:
        found = pattern.findall(tail)
        if found:
            return float(found[-1])
    return None


class Speeds:
    """The speed of each port's server. A file is read again only after it has changed."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._read: Dict[str, Tuple[Any, Optional[Speed]]] = {}

    def of(self, port: int, server: Optional[Server]) -> Dict[str, Any]:
        """The keys of a row. `tokens_from`: log or verify."""
        logged = self._logged(port, server) if server else None
        verified = self._verified(port, server) if server and not logged else None
        speed = logged or verified
        return {
            "tokens_per_s": speed.tokens_per_s if speed else None,
            "tokens_from": "log" if logged else "verify" if verified else None,
            "tokens_at": speed.at if speed else None,
        }

    def _logged(self, port: int, server: Server) -> Optional[Speed]:
        path = log_path(self._state_dir, port)
        stamp = file_stamp(path)
        if stamp is None or self._is_older(stamp[0], server):
            return None
        if self._read.get(path, (None, None))[0] != stamp:
            rate = logged_rate(read_bounded(path, MAX_TAIL_BYTES, end=True) or b"")
            speed = None if rate is None else Speed(rate, utc(stamp[0] / 1e9))
            # A log that grows by other lines keeps the last rate it named.
            self._read[path] = stamp, speed or self._read.get(path, (None, None))[1]
        return self._read[path][1]

    @staticmethod
    def _is_older(written_ns: int, server: Server) -> bool:
        started = server.process.started_at
        return started is not None and written_ns / 1e9 < started - 1.0

    def _verified(self, port: int, server: Server) -> Optional[Speed]:
        key = "%d %s" % (server.process.pid, server.process.start_time)
        path = os.path.join(self._state_dir, "run", "%d.speed.json" % port)
        stamp = file_stamp(path)
        if self._read.get(key, (None, None))[0] != stamp or key not in self._read:
            self._read[key] = stamp, last_speed(self._state_dir, port, server.process)
        return self._read[key][1]


def file_stamp(path: str) -> Optional[Tuple[int, int, int]]:
    """Changes with every write of the file; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
