"""What errors look like in the logs of servers."""

from __future__ import annotations

import re
from typing import Optional, Sequence

MAX_CAUSE_LENGTH = 300
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# The last line of a traceback, also of a nested one.
_EXCEPTION = re.compile(
    r"^[\s|+-]*((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt)\b(?:: .*)?)$"
)
# A line of a logger, of argparse, or of the C++ runtime.
_ERROR = re.compile(
    r"(?:\b(?:ERROR|CRITICAL|FATAL)\b[\s:|-]*|\b(?:fatal )?error: |^(?=libc\+\+abi: ))"
    r"(?P<text>\S.*)$"
)
# loguru puts the place of the call before the message.
_PLACE = re.compile(r"^[\w.]+:[\w<>]+:\d+\s*[|-]\s*(?:✦\s*)?")
# What a server prints whatever the error was.
_TRAILERS = ("Traceback (most recent call last)", "Application startup failed")


def last_error(lines: Sequence[str], or_line: bool = False) -> str:
    """The last error of a log, in one line; if there is none "", or with `or_line` the last line
    that is not empty. A message that goes on is continued with the beginning of its next line."""
    for number in range(len(lines) - 1, -1, -1):
        text = _error_of(COLOUR.sub("", lines[number]).rstrip())
        if text:
            if text.endswith(":") and number + 1 < len(lines):
                text += " %s …" % COLOUR.sub("", lines[number + 1]).strip().rstrip(",")
            return text[:MAX_CAUSE_LENGTH]
    plain = (COLOUR.sub("", line).strip() for line in reversed(lines if or_line else ()))
    return next(filter(None, plain), "")[:MAX_CAUSE_LENGTH]


def _error_of(line: str) -> Optional[str]:
    exception = _EXCEPTION.match(line)
    if exception:
        return exception.group(1)
    error = _ERROR.search(line)
    text = _PLACE.sub("", error.group("text")) if error else ""
    return "" if text.startswith(_TRAILERS) else text
