"""Entries of the registry: the table of all, and what set, rename and remove did."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .actions import action_lines
from .format import cell, counted, file_size, printable
from .style import Style
from .table import Column, Listing, Row, table

NO_ENTRIES = "No entries. Add the models in the cache: mlxops init"


def _loaded(model: Row, style: Style) -> str:
    return style.wrong(f"{model['wanted']} lost") if model.get("lost") else cell(model.get("port"))


def _files(model: Row, style: Style) -> str:
    return style.wrong(cell(model["files"])) if model.get("problem") else cell(model.get("files"))


def _repo(model: Row) -> str:
    return (
        "local" if model.get("cache_path") and not model.get("repo_id") else cell(model["repo_id"])
    )


COLUMNS = (
    Column(name="NAME", text=lambda m, _: cell(m["name"]), keep=True, shorten=40),
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
    Column(name="REPO", text=lambda m, _: _repo(m), weight=2, shorten=20),
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


def set_result(result: dict[str, Any], style: Style) -> str:
    """What `set` changed in an entry, and the next command, if there is one."""
    step = [f"  next: {printable(result['next'])}"] if result.get("next") else []
    return "\n".join([*action_lines(result.get("actions") or []), *step]) or style.idle(
        "nothing changed"
    )


def rename_result(result: dict[str, Any], style: Style) -> str:
    """One line: the old name and the new one."""
    entry = result["entry"]
    form = "{} is now {}" if result.get("changed") else "{} would be renamed to {}"
    serving = f" (it keeps serving on {cell(entry['port'])})" if entry.get("port") else ""
    return form.format(printable(result["previous"]), printable(entry["name"])) + serving


def removal_question(result: dict[str, Any], files: bool) -> str:
    """The question asked before an entry is removed."""
    what = result.get("repo_id") or result.get("files") or "no repo"
    name = f"{result['entry']} ({printable(what)})"
    more = f", its settings and its files ({file_size(result.get('size_bytes'))})"
    return f"Remove entry {name}{more if files else ' and its settings'}?"


def remove_result(result: dict[str, Any], style: Style) -> str:
    name, done = cell(result.get("entry")), result.get("changed")
    return f"{name} {'removed' if done else 'would be removed'}; {_files_left(result)}"


def _files_left(result: dict[str, Any]) -> str:
    files, size = result.get("files"), file_size(result.get("size_bytes"))
    if not files:
        return "it has no files on the host"
    if result.get("with_files") and not any(one["error"] for one in result["pruned"]):
        return f"its files ({size}) too"
    return f"its files stay in {printable(files)} ({size})"
