"""The command line. A verb parses its arguments, makes one call and returns an answer, which is
printed here, as text or as JSON."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ..agent.errors import Interrupted, MlxopsError
from ..interrupts import begin_report, interrupted_after_end
from .console import Console, OutputClosed
from .output import output_text
from .run import Answer, Run


def main(argv: list[str], run: Run | None = None) -> int:
    """Run one command line and return its exit status. Errors are reported here only."""
    run = run or Run(Console.standard())
    run.argv = argv
    if asked := os.environ.get(f"_{program_name().upper()}_COMPLETE"):
        from .words.completion import answer_shell

        answer_shell(run, program_name(), asked)
    answer, error = _execute(argv, run)
    if begin_report().count and not isinstance(error, Interrupted):
        answer, error = Answer(None), interrupted_after_end(answer.result, error)
    run.end_progress()
    try:
        _report(run, answer, error)
    except OutputClosed:
        pass
    except OSError as exc:
        run.console.note(f"mlxops: cannot write the answer: {exc.strerror}")
        return 1
    _remember_names(run)
    return error.exit_code if error else 0


def _remember_names(run: Run) -> None:
    """Keep the names in the answers, for completion. The answer is printed already."""
    if run.calls:
        from .words.known_names import remember

        # An answer of another version may lack anything.
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            remember(run.calls)


def _execute(argv: list[str], run: Run) -> tuple[Answer, MlxopsError | None]:
    from .errors import as_mlxops_error, traceback_text
    from .root import root
    from .verb import HelpRequested

    try:
        answer: Answer = root.main(argv, prog_name=program_name(), obj=run, standalone_mode=False)
        return answer, answer.error
    except HelpRequested as request:
        text = {"help": str(request)}
        return Answer(text, lambda result, style: str(result["help"]), verbatim=True), None
    except OutputClosed:
        return Answer(None), None  # a verb that prints as it goes
    except (Exception, KeyboardInterrupt) as exc:
        if run.flags.debug or os.environ.get("MLXOPS_DEBUG"):
            run.console.note(traceback_text(exc))
        return Answer(None), as_mlxops_error(exc, run.command)


def _report(run: Run, answer: Answer, error: MlxopsError | None) -> None:
    for warning in (answer.result or {}).get("warnings") or []:
        run.progress.warn(str(warning))
    run.console.print(output_text(run, answer, error))
    run.console.flush()  # in one file or mail, the result comes before the error
    if error is not None and not run.flags.json:
        from ..render.errors import error_text

        run.console.note(
            error_text(error, run.console.err_style, run.flags.verbose)
            if answer.message is None
            else answer.message
        )


def program_name() -> str:
    """The name by which the program was called: mlxops or mlxctl."""
    name = os.path.basename(sys.argv[0])
    return name if name in ("mlxops", "mlxctl") else "mlxops"
