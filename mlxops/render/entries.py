"""Entries of the registry: the table of all, and one in full."""

from __future__ import annotations

import json
import shlex
from operator import itemgetter
from typing import Any

from .actions import action_lines
from .format import DASH, cell, counted, file_size, printable, size
from .style import Style
from .table import Column, Listing, Row, table

NO_ENTRIES = "No entries. Add the models in the cache: mlxops init"
# Of the process of an entry: its command line is shown as the start command.
_ONLY_IN_JSON = ("argv", "family", "start_time")


def _loaded(model: Row, style: Style) -> str:
    return style.wrong(f"{model['wanted']} lost") if model.get("lost") else cell(model.get("port"))


def _files(model: Row, style: Style) -> str:
    return style.wrong(cell(model["files"])) if model.get("problem") else cell(model.get("files"))


COLUMNS = (
    Column(name="NAME", text=lambda m, _: cell(m["name"]), keep=True, shorten=20),
    Column(name="LOADED", text=_loaded, key=lambda m: m.get("port") or m.get("wanted"), keep=True),
    Column(
        name="SIZE",
        text=lambda m, _: file_size(m.get("size_bytes")),
        key=lambda m: m.get("size_bytes"),
        weight=4,
        right=True,
        largest=True,
    ),
    Column(name="FILES", text=_files, weight=5),
    Column(name="SLOT", text=lambda m, _: cell(m.get("slot_name") or m.get("slot")), weight=3),
    Column(name="REPO", text=lambda m, _: cell(m.get("repo_id")), weight=2, shorten=20),
    Column(name="FORMAT", text=lambda m, _: cell(m.get("format")), weight=1),
)
LISTING = Listing("models", COLUMNS, itemgetter("name"))


def entry_table(result: dict[str, Any], style: Style) -> str:
    """One row per entry, what is missing of their files, and the sum; a sentence with the next
    command if there is none."""
    models = result["models"]
    if not models:
        return "No model is loaded." if result.get("loaded") else NO_ENTRIES
    gone = [f"{cell(m['name'])}: {printable(m['problem'])}" for m in models if m.get("problem")]
    return "\n".join([table(COLUMNS, models, style), *map(style.wrong, gone), _sum(models)])


def _sum(models: list[dict[str, Any]]) -> str:
    """37 entries, 512 GB, 4 loaded. A snapshot that several entries use counts once."""
    sizes = {m.get("cache_path"): m.get("size_bytes") or 0 for m in models}
    loaded = sum(m.get("port") is not None for m in models)
    count = counted(len(models), "entry", "entries")
    return f"{count}, {file_size(sum(sizes.values()))}, {loaded} loaded"


def entry_details(result: dict[str, Any], style: Style) -> str:
    """An entry and its port, a field per line, the origin of its settings, its start command."""
    lines = [
        *_fields("entry", result.get("entry"), style),
        *_fields("port", result.get("port"), style),
    ]
    if result.get("sources"):
        lines += [style.faint("origin of its settings"), *_sources(result["sources"])]
    if result.get("command"):
        lines += [
            style.faint("start command"),
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
    """The fields that have a value."""
    texts = {key: _value(key, value) for key, value in (record or {}).items()}
    known = {key: text for key, text in texts.items() if text != DASH}
    wide = max(map(len, known), default=0)
    lines = [f"  {printable(key):<{wide}}  {text}" for key, text in known.items()]
    return [style.faint(title), *lines] if lines else []


def _value(key: str, value: Any) -> str:
    if key.endswith("_bytes") and isinstance(value, (int, float, type(None))):
        return file_size(value) if key == "size_bytes" else size(value)
    if isinstance(value, dict):
        hidden = _ONLY_IN_JSON if key == "process" else ()
        return ", ".join(f"{printable(k)} {_inner(v)}" for k, v in value.items() if k not in hidden)
    if isinstance(value, list) and value:
        return (
            ", ".join(map(_inner, value))
            if isinstance(value[0], dict)
            else printable(shlex.join(map(str, value)))
        )
    return cell(value or None)


def _inner(value: Any) -> str:
    """Below the first level of nesting: as JSON."""
    is_json = isinstance(value, (dict, bool))
    return printable(json.dumps(value)) if is_json else _value("", value)


def set_result(result: dict[str, Any], style: Style) -> str:
    """What `set` did to an entry."""
    if result.get("actions"):
        return "\n".join(action_lines(result["actions"]))
    if not result.get("changed"):
        return style.idle("nothing changed")
    return "\n".join(_fields("entry", result.get("entry"), style))


def rename_result(result: dict[str, Any], style: Style) -> str:
    """One line: the old name and the new one."""
    entry = result["entry"]
    form = "{} is now {}" if result.get("changed") else "{} would be renamed to {}"
    serving = f" (it keeps serving on {cell(entry['port'])})" if entry.get("port") else ""
    return form.format(printable(result["previous"]), printable(entry["name"])) + serving


def removal_question(result: dict[str, Any]) -> str:
    """The question asked before an entry is removed."""
    return (
        f"Remove entry {result['entry']} ({result.get('repo_id') or 'no repo'}) and its settings?"
    )


def remove_result(result: dict[str, Any], style: Style) -> str:
    name, files = cell(result.get("entry")), result.get("files")
    stay = (
        f"its files stay in {printable(files)} ({file_size(result.get('size_bytes'))})"
        if files
        else "it has no files on the host"
    )
    return (
        f"{name} removed; {stay}" if result.get("changed") else f"{name} would be removed; {stay}"
    )
