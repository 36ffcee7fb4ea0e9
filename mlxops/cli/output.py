"""The answer of a verb in the format that the user wants: -o, --sort and --columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..agent.errors import MlxopsError, Usage
from .run import Answer, Flags, Run

if TYPE_CHECKING:
    from ..render.table import Column, Listing

FORMATS = ("wide", "name", "json", "yaml")


def output_text(run: Run, answer: Answer, error: MlxopsError | None) -> str:
    """What is printed on standard output; empty if nothing is."""
    if run.flags.json:
        from ..render.json_document import document

        return document(envelope_of(run, answer, error), yaml=run.flags.output == "yaml")
    result = _sorted(answer, run.flags.sort)
    if result is None or answer.text is None:
        return ""
    if run.flags.output == "name" and answer.listing:
        return _names(result, answer.listing)
    from ..render.format import for_people

    text = answer.text(result, run.style)
    return text if answer.verbatim else for_people(text, run.style.width)


def envelope_of(run: Run, answer: Answer, error: MlxopsError | None) -> dict[str, Any]:
    from ..render.json_document import envelope

    result = _sorted(answer, run.flags.sort)
    whole = envelope(run.host_name, run.command, result, error)
    return whole if answer.hosts is None else {**whole, "hosts": answer.hosts}


def _names(result: dict[str, Any], listing: Listing) -> str:
    from ..render.format import printable

    names = map(listing.name, result[listing.rows])
    return "\n".join(printable(name) for name in names if name)


def _sorted(answer: Answer, sort: str | None) -> dict[str, Any] | None:
    result, listing = answer.result, answer.listing
    if not sort or not result or not listing or listing.rows not in result:
        return result
    from ..render.table import sort_rows

    column = _column(listing.columns, sort.lstrip("-"))
    rows = sort_rows(result[listing.rows], column, sort.startswith("-"))
    return {**result, listing.rows: rows}


def check_flags(flags: Flags, columns: Sequence[Column]) -> None:
    """Usage if -o, --sort and --columns contradict each other or name an unknown column."""
    as_document = flags.output in ("json", "yaml")
    if flags.json and flags.output and not as_document:
        raise Usage(f"--json and -o {flags.output} exclude each other", "leave one of them out")
    if flags.columns and (flags.json or flags.output == "name"):
        raise Usage("--columns is for tables, not for -o name, json and yaml")
    flags.columns = tuple(_column(columns, name).name for name in flags.columns)
    if flags.sort is not None:
        _column(columns, flags.sort.lstrip("-"))


def _column(columns: Sequence[Column], name: str) -> Column:
    """The column of that name, in any case."""
    by_name = {column.name.casefold(): column for column in columns}
    if name.casefold() in by_name:
        return by_name[name.casefold()]
    names = ", ".join(column.name for column in by_name.values())
    raise Usage(f"no column {name!r}", f"columns: {names}", word=name)
