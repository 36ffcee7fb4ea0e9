"""The times in the lines of a log, as its program wrote them."""

from __future__ import annotations

import calendar
import re
import time
from typing import List, Optional

# A time stands near the beginning of a line.
MAX_PREFIX_LENGTH = 160
_ISO = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?")
# The common log format, and http.server's, which has no zone.
_COMMON = re.compile(r"\[(\d\d)/([A-Z][a-z]{2})/(\d{4})[: ](\d\d):(\d\d):(\d\d)(?: ([+-]\d{4}))?\]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def time_of(line: str) -> Optional[float]:
    """Seconds since the epoch; None if the line has no time. One without a zone is of this
    machine's."""
    beginning = line[:MAX_PREFIX_LENGTH]
    iso = _ISO.search(beginning)
    if iso:
        year, month, day, hour, minute, second, zone = iso.groups()
    else:
        common = _COMMON.search(beginning)
        if common is None or common.group(2) not in _MONTHS:
            return None
        day, name, year, hour, minute, second, zone = common.groups()
        month = str(_MONTHS.index(name) + 1)
    return _epoch([int(word) for word in (year, month, day, hour, minute, second)], zone)


def _epoch(fields: List[int], zone: Optional[str]) -> Optional[float]:
    year, month, day, hour, minute, second = fields
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 62):
        return None
    try:
        if zone is None:
            return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
        return calendar.timegm((year, month, day, hour, minute, second)) - _offset_s(zone)
    except (ValueError, OverflowError):
        return None


def _offset_s(zone: str) -> int:
    """Seconds east of UTC."""
    if zone == "Z":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds
