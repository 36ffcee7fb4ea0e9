"""Any exception as one of the errors that have an exit code."""

from __future__ import annotations

import click

from ..agent.errors import Failed, Interrupted, MlxopsError, Usage
from .run import Run


class Internal(MlxopsError):
    """A defect of mlxops itself."""


def as_mlxops_error(exc: BaseException, command: str | None = None) -> MlxopsError:
    """The error for the exception that ended a command; Internal for an unexpected one."""
    if isinstance(exc, MlxopsError):
        return exc
    if isinstance(exc, (KeyboardInterrupt, click.Abort)):
        return Interrupted("interrupted")
    if isinstance(exc, click.ClickException):
        return _usage(exc, command)
    if isinstance(exc, OSError):
        return Failed(f"on this machine: {exc.filename or 'error'}: {exc.strerror or exc}")
    retry = f"mlxops --debug {command}" if command else "mlxops --debug"
    return Internal(f"internal error: {type(exc).__name__}: {exc}", retry)


def traceback_text(exc: BaseException) -> str:
    """The traceback of an error, here and, if the agent sent one, on the host, made printable."""
    import traceback

    from ..render.format import printable_lines

    there = exc.fields.get("trace") if isinstance(exc, MlxopsError) else None
    lines = printable_lines("".join(traceback.format_exception(exc)))
    return "\n".join([*lines, *(["On the host:", *printable_lines(there)] if there else [])])


def _usage(exc: click.ClickException, command: str | None) -> Usage:
    ctx = getattr(exc, "ctx", None)
    path = ctx.command_path if ctx else f"mlxops {command}" if command else "mlxops"
    if isinstance(exc, click.NoSuchOption):
        from .words.options import unknown_option

        run = ctx.find_object(Run) if ctx else None
        return unknown_option(exc, run.argv if run else [])
    if isinstance(exc, click.MissingParameter) and exc.param and exc.param.name == "shell":
        return Usage("name a shell: bash, zsh or fish", f"{path} --help")
    text = exc.format_message().rstrip(".")
    meant = _near_choice(exc)
    hint = f"did you mean {meant}?" if meant else f"{path} --help"
    return Usage(text[:1].lower() + text[1:], hint)


def _near_choice(exc: click.ClickException) -> str:
    """The choice that was probably meant; "" if none is close."""
    import difflib

    choices = getattr(getattr(exc, "param", None), "type", None)
    if not isinstance(choices, click.Choice):
        return ""
    word = exc.message.partition(" is not one of ")[0].strip("'")
    return next(iter(difflib.get_close_matches(word.lower(), map(str, choices.choices), 1)), "")
