"""The command line. A command parses its words, makes one call and answers; how the answer is shown
is decided here."""

from __future__ import annotations

import os
import sys

from ..agent.errors import Interrupted, MlxopsError
from ..interrupts import telling, too_late
from .console import Console, ReaderGone
from .invocation import Answer, Invocation


def run(argv: list[str], invocation: Invocation | None = None) -> int:
    """Carry out one command line; its exit status. Whatever went wrong is told in one place,
    below."""
    it = invocation or Invocation(Console.standard())
    answer, error = _carried_out(argv, it)
    with telling() as presses:
        if presses.count and not isinstance(error, Interrupted):
            answer, error = Answer(None), too_late(answer.result, error)
        it.progress.close()
        try:
            _tell(it, answer, error)
        except ReaderGone:
            pass
        except OSError as exc:
            it.console.note(f"mlxops: the answer could not be written: {exc.strerror}")
            return 1
        return error.exit_code if error else 0


def _carried_out(argv: list[str], it: Invocation) -> tuple[Answer, MlxopsError | None]:
    from .errors import named, traced
    from .root import root
    from .verb import HelpAsked

    try:
        answer: Answer = root.main(argv, prog_name=called_as(), obj=it, standalone_mode=False)
        return answer, answer.error
    except HelpAsked as asked:
        return Answer({"help": str(asked)}, lambda result, style: str(result["help"])), None
    except (Exception, KeyboardInterrupt) as exc:
        if it.flags.debug or os.environ.get("MLXOPS_DEBUG"):
            it.console.note(traced(exc))
        return Answer(None), named(exc, it.command)


def _tell(it: Invocation, answer: Answer, error: MlxopsError | None) -> None:
    for warning in (answer.result or {}).get("warnings") or []:
        it.progress.warn(str(warning))
    if it.flags.json:
        from ..render.json_document import document

        it.console.say(document(it.host_name, it.command, answer.result, error))
    elif answer.result is not None and answer.text is not None:
        it.console.say(answer.text(answer.result, it.console.style))
    it.console.flush()  # into one file or mail, what was found comes before what is wrong with it
    if error is not None and not it.flags.json:
        from ..render.errors import error_text

        it.console.note(
            error_text(error, it.console.err_style) if answer.parting is None else answer.parting
        )


def called_as() -> str:
    """The name the program was called by: mlxops or mlxctl."""
    name = os.path.basename(sys.argv[0])
    return name if name in ("mlxops", "mlxctl") else "mlxops"
