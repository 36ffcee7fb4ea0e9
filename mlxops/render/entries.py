"""Entries of the registry: the table of all, and one in full."""

from __future__ import annotations

import json
import shlex
from typing import Any

from .actions import action_lines
from .format import cell, printable, size
from .style import Style
from .table import table

_COLUMNS = ("NAME", "REPO", "SIZE>", "FORMAT", "SLOT>", "PORT>")


def entry_table(result: dict[str, Any], style: Style) -> str:
    """One row per entry; a sentence with the next command where there is none."""
    models = result["models"]
    if not models:
        return "No entries yet. mlxops init adds the models of the cache; mlxops register NAME REPO adds one by hand."
    gone = [f"{cell(m['name'])}: {printable(m['problem'])}" for m in models if m.get("problem")]
    return "\n".join([table(_COLUMNS, [_row(model) for model in models]), *map(style.wrong, gone)])


def _row(model: dict[str, Any]) -> list[str]:
    return [
        cell(model["name"]),
        cell(model.get("repo_id")),
        size(model.get("size_bytes")),
        cell(model.get("format")),
        cell(model.get("slot")),
        f"{model['wanted']} lost" if model.get("lost") else cell(model.get("port")),
    ]


def entry_details(result: dict[str, Any], style: Style) -> str:
    """An entry and its port, one field per line, and the command that would start it."""
    lines = [
        *_fields("entry", result.get("entry"), style),
        *_fields("port", result.get("port"), style),
    ]
    if result.get("sources"):
        lines += [style.faint("where its values are from"), *_sources(result["sources"])]
    if result.get("command"):
        lines += [
            style.faint("started with"),
            "  " + printable(shlex.join(map(str, result["command"]))),
        ]
    return "\n".join(lines)


def _sources(sources: dict[str, Any]) -> list[str]:
    wide = max(len(key) for key in sources)
    return [
        f"  {printable(key):<{wide}}  {_value(key, row['value'])}: {_origin(row)}"
        for key, row in sources.items()
    ]


def _origin(row: dict[str, Any]) -> str:
    return printable(row["from"]) + (
        f"; proposed: {_value('', row['proposed'])}" if row.get("proposed") else ""
    )


def _fields(title: str, record: dict[str, Any] | None, style: Style) -> list[str]:
    if not record:
        return []
    wide = max(len(key) for key in record)
    return [
        style.faint(title),
        *(f"  {printable(key):<{wide}}  {_value(key, record[key])}" for key in record),
    ]


def _value(key: str, value: Any) -> str:
    if key.endswith("_bytes") and isinstance(value, (int, float, type(None))):
        return size(value)
    if isinstance(value, dict):
        return ", ".join(f"{printable(k)} {_inner(v)}" for k, v in value.items())
    if isinstance(value, list) and value:
        return (
            ", ".join(map(_inner, value))
            if isinstance(value[0], dict)
            else printable(shlex.join(map(str, value)))
        )
    return cell(value or None)


def _inner(value: Any) -> str:
    """Below the first level of nesting as JSON, however deep it goes on."""
    return printable(json.dumps(value)) if isinstance(value, dict) else _value("", value)


def set_result(result: dict[str, Any], style: Style) -> str:
    """What `set` did to an entry, or would do."""
    if result.get("actions"):
        return "\n".join(action_lines(result["actions"]))
    if not result.get("changed"):
        return "nothing changed"
    return "\n".join(_fields("entry", result.get("entry"), style))


def removal_question(result: dict[str, Any]) -> str:
    """The question before an entry is removed."""
    return f"Remove the entry {result['entry']} ({result.get('repo_id') or 'no repo'}) and its settings?"


def remove_result(result: dict[str, Any], style: Style) -> str:
    name, files = cell(result.get("entry")), result.get("files")
    stay = (
        f"its files stay: {printable(files)} ({size(result.get('size_bytes'))})"
        if files
        else "it had no files here"
    )
    return (
        f"{name} removed; {stay}" if result.get("changed") else f"{name} would be removed; {stay}"
    )
