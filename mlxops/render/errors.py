"""An error as text: what happened, and the hint."""

from __future__ import annotations

from ..agent.errors import MlxopsError
from .format import MAX_LINE_LENGTH, MAX_LINES, printable_lines, with_relative_times
from .log import log_line
from .style import Style
from .width import wrapped_text


def error_text(error: MlxopsError, style: Style, verbose: bool = False) -> str:
    """`verbose`: with the last lines of the server's log, which the hint names a command for."""
    first, *rest = printable_lines(error.message) or [error.kind]
    lines = [f"{style.wrong('mlxops:')} {first}", *(f"  {line}" for line in rest)]
    lines += [f"  | {log_line(line)}" for line in log_tail(error) if verbose]
    lines += [f"  hint: {line}" for line in printable_lines(error.hint)]
    return wrapped_text(with_relative_times("\n".join(lines)), style.width)


def log_tail(error: MlxopsError) -> list[str]:
    """The last lines of the server's log, if the error carries any."""
    tail = error.fields.get("log") or []
    lines = tail if isinstance(tail, list) else str(tail).splitlines()
    return [str(line)[:MAX_LINE_LENGTH] for line in lines[-MAX_LINES:]]
