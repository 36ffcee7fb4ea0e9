"""The crontab's text: the line of each host, and changes that leave every other line as it is.
Pure."""

from __future__ import annotations

import difflib
import re
import shlex
from typing import NamedTuple

MARK = "# mlxops: "
MAX_LINE = 998
"""Characters of a command that every cron accepts."""
PROGRAMS = ("mlxops", "mlxctl")
# Minutes, hours, days, months and weekdays, or a word such as @hourly; then the command.
_JOB = re.compile(r"[ \t]*(?:@\S+|[^\s#=]+(?:[ \t]+\S+){4})[ \t]+(?P<command>\S.*)")
_VALUED = ("--host", "--hosts-dir", "--notify", "--metrics", "--timeout")
_PLAIN = ("--local", "--cron", "-q", "--quiet", "--check", "--restart")


class Edit(NamedTuple):
    """A change of the crontab. `before`: the host's lines as they were."""

    text: str
    new_text: str
    before: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return self.text != self.new_text

    @property
    def diff(self) -> list[str]:
        """The lines that go, after a "-", and those that come, after a "+"."""
        old, new = self.text.split("\n"), self.new_text.split("\n")
        return [
            f"{line[0]} {line[2:]}"
            for line in difflib.ndiff(old, new)
            if line[:1] in ("-", "+") and line[2:]
        ]


def schedule(every_minutes: int) -> str:
    """The five fields of a line, for a divisor of 60."""
    minutes = {1: "*", 60: "0"}.get(every_minutes, f"*/{every_minutes}")
    return f"{minutes} * * * *"


def marked(line: str, host: str) -> str:
    """The line with the mark of its host, a comment of the shell."""
    return f"{line} {_mark(host)}"


def _mark(host: str) -> str:
    return MARK + host.replace("%", "\\%")


def install(text: str, host: str, line: str) -> Edit:
    """Replace the host's first line by this one, or append it if there is none; remove the host's
    other lines."""
    rows = text.split("\n")
    at = [number for number, row in enumerate(rows) if is_line_of(row, host)]
    if at:
        new = [line if n == at[0] else row for n, row in enumerate(rows) if n not in at[1:]]
        new_text = "\n".join(new)
    else:
        joint = "" if not text or text.endswith("\n") else "\n"
        new_text = f"{text}{joint}{line}\n"
    return Edit(text, new_text, tuple(rows[number] for number in at))


def remove(text: str, host: str) -> Edit:
    rows = text.split("\n")
    before = tuple(row for row in rows if is_line_of(row, host))
    return Edit(text, "\n".join(row for row in rows if not is_line_of(row, host)), before)


def lines_of(text: str, host: str) -> list[str]:
    return [row for row in text.split("\n") if is_line_of(row, host)]


def similar_lines(text: str, host: str) -> list[str]:
    """Other lines that run mlxops for the host and are not touched, such as those with a
    redirection."""
    return [
        row
        for row in text.split("\n")
        if not is_line_of(row, host)
        and (words := _words(row))
        and "reconcile" in words
        and host in words
        and _program_end(words) is not None
    ]


def is_line_of(row: str, host: str) -> bool:
    """Whether the line has the host's mark, or is the unmarked one of earlier versions."""
    if row.lstrip().startswith("#"):
        return False
    return row.rstrip().endswith(" " + _mark(host)) or _is_earlier_line(row, host)


def _is_earlier_line(row: str, host: str) -> bool:
    """Exactly the words that `mlxops cron` prints: what a person added is left alone."""
    words = _words(row)
    end = _program_end(words)
    if MARK in row or end is None:
        return False
    options, verbs, rest = [], [], iter(words[end:])
    for word in rest:
        if word in _VALUED:
            options.append((word, next(rest, "")))
        elif word not in _PLAIN:
            verbs.append(word)
    return verbs == ["reconcile"] and ("--host", host) in options


def _words(row: str) -> list[str]:
    """The words of the line's command; none if it is not a job, or the shell would not take it."""
    matched = None if row.lstrip().startswith("#") else _JOB.fullmatch(row)
    if matched is None:
        return []
    lexer = shlex.shlex(
        matched["command"].replace("\\%", "%"), posix=True, punctuation_chars=";&|<>()"
    )
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return list(lexer)
    except ValueError:
        return []


def _program_end(words: list[str]) -> int | None:
    """Where the words after `mlxops`, or after `cd FOLDER && PYTHON -m mlxops`, begin."""
    if words and words[0].rpartition("/")[2] in PROGRAMS:
        return 1
    if [words[:1], words[2:3], words[4:6]] == [["cd"], ["&&"], ["-m", "mlxops"]]:
        return 6
    return None
