"""Any exception as one of the errors with an exit code."""

from __future__ import annotations

import click

from ..agent.errors import Failed, Interrupted, MlxopsError, Usage


class Internal(MlxopsError):
    """A defect of mlxops itself."""


def as_mlxops_error(exc: BaseException, command: str | None = None) -> MlxopsError:
    """The typed error for whatever ended a command; what nobody foresaw is Internal."""
    if isinstance(exc, MlxopsError):
        return exc
    if isinstance(exc, (KeyboardInterrupt, click.Abort)):
        return Interrupted("interrupted")
    if isinstance(exc, click.ClickException):
        return _usage(exc, command)
    if isinstance(exc, OSError):
        return Failed(
            f"{exc.filename or 'this machine'}: {exc.strerror or exc}", "look at it on this machine"
        )
    return Internal(f"{type(exc).__name__}: {exc}", "a defect of mlxops; --debug shows where")


def traceback_text(exc: BaseException) -> str:
    """Where it came from: here, and on the host if the agent told. It quotes the host, so it is
    made safe as well."""
    import traceback

    from ..render.format import printable_lines

    there = exc.fields.get("trace") if isinstance(exc, MlxopsError) else None
    lines = printable_lines("".join(traceback.format_exception(exc)))
    return "\n".join([*lines, *(["On the host:", *printable_lines(there)] if there else [])])


def _usage(exc: click.ClickException, command: str | None) -> Usage:
    ctx = getattr(exc, "ctx", None)
    path = ctx.command_path if ctx else f"mlxops {command}" if command else "mlxops"
    if isinstance(exc, click.NoSuchOption) and exc.option_name in ("--port", "--slot", "-p"):
        return Usage(f"no option {exc.option_name}: PORT is a plain argument", f"{path} --help")
    return Usage(exc.format_message(), f"{path} --help")
