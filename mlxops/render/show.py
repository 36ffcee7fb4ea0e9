"""An entry and its port as a page: what it is, where it serves, how it was set, how it starts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from .drift import next_step, state_cell
from .format import (
    ago,
    cell,
    duration,
    file_size,
    latency,
    printable,
    size,
    who,
    with_relative_times,
)
from .style import Style
from .width import width, wrapped

Facts = list[tuple[str, str]]
# Fields of an entry that the page shows in a form of its own, or that others repeat.
_SHOWN_ELSEWHERE = frozenset(
    (
        *("name", "repo_id", "model_id", "format", "port", "slot", "slot_name", "wanted"),
        *("cache_path", "size_bytes", "files", "problem", "revision", "process", "start_s"),
        *("last_process", "runtime", "chat_template", "tool_call_parser", "reasoning_parser"),
        *("args", "wanted_since", "wanted_by"),
    )
)
_FILES = {"ok": "complete", None: "not downloaded"}
# The origin of a setting that has no value and no default: nothing to show.
_UNSET = "not set; no default"


def page(result: dict[str, Any], style: Style) -> str:
    """The entry, its port, its settings and its start command, as far as something is
    known."""
    entry, port = result.get("entry"), result.get("port")
    lines = []
    if entry:
        lines += _section(cell(entry.get("name")), _entry_facts(result, style), style)
    if port:
        lines += _section(_port_title(port), _port_facts(port, entry, style), style)
    if port and not entry:
        lines += _section("loads", _load_facts(result), style)
    if result.get("sources"):
        lines += _section("settings", _settings(result["sources"]), style)
    notes = [("note", style.wrong(printable(text))) for text in result.get("notes") or ()]
    lines += _section("notes", notes, style)
    if result.get("command"):
        lines += [style.strong("start command"), *_command(result["command"], style.width)]
    return "\n".join(lines)


def _section(title: str, facts: Facts, style: Style) -> list[str]:
    if not facts:
        return []
    wide = max(width(label) for label, _ in facts)
    indent = " " * (wide + 4)
    return [
        style.strong(title),
        *(
            line
            for label, text in facts
            for line in wrapped(f"  {label:<{wide}}  {text}", style.width, indent)
        ),
    ]


def _entry_facts(result: dict[str, Any], style: Style) -> Facts:
    entry: Mapping[str, Any] = result["entry"]
    facts = [
        ("repo", _repo(entry)),
        ("files", _files(entry, style)),
        ("path", _path(entry, result.get("command"))),
        ("slot", _slot(entry.get("slot"), entry.get("slot_name"))),
        ("wanted", _wanted(entry)),
        *_load_facts(result),
        ("starts in", _starts(entry.get("start_s"))),
        *(
            (printable(key), _value(value))
            for key, value in entry.items()
            if key not in _SHOWN_ELSEWHERE
        ),
    ]
    return _known(facts)


def _known(facts: Facts) -> Facts:
    return [(label, text) for label, text in facts if text not in ("", "-")]


def _repo(entry: Mapping[str, Any]) -> str:
    repo, model = entry.get("repo_id"), entry.get("model_id")
    served = f", as {printable(model)}" if model and model != repo else ""
    revision = f", revision {printable(entry['revision'])}" if entry.get("revision") else ""
    return f"{cell(repo)}{revision}{served}"


def _files(entry: Mapping[str, Any], style: Style) -> str:
    state = entry.get("files")
    if entry.get("problem"):
        return f"{style.wrong(cell(state))}: {printable(entry['problem'])}"
    if state is None:
        return "" if entry.get("cache_path") else _FILES[None]
    return f"{file_size(entry.get('size_bytes'))}, {_FILES.get(state, cell(state))}"


def _path(entry: Mapping[str, Any], command: Any) -> str:
    """The path; nothing if the start command names it."""
    path = entry.get("cache_path")
    return "" if path in (command or []) else cell(path)


def _slot(port: Any, name: Any) -> str:
    return f"{printable(name)} ({cell(port)})" if name else cell(port)


def _wanted(entry: Mapping[str, Any]) -> str:
    wanted = entry.get("wanted")
    return "" if wanted is None or wanted == entry.get("port") else f"on {cell(wanted)}"


def _load_facts(result: dict[str, Any]) -> Facts:
    done, failed = result.get("last_load"), result.get("last_failure")
    facts = []
    if done:
        facts.append(("last load", f"{ago(done['since'])} on {cell(done['port'])}{_by(done)}"))
    if failed:
        why = with_relative_times(printable(failed.get("message") or "no reason is known"))
        facts.append(("last failure", f"{ago(failed['since'])} on {cell(failed['port'])}: {why}"))
    return facts


def _by(job: Mapping[str, Any]) -> str:
    name = who(job.get("who"), job.get("from"))
    return "" if name == "-" else f" by {name}"


def _starts(times: Any) -> str:
    """How long the last starts took, by runtime."""
    if not isinstance(times, dict):
        return ""
    known = [
        f"{', '.join(duration(one) for one in last)} ({printable(runtime)})"
        for runtime, last in times.items()
        if isinstance(last, list) and last and all(isinstance(t, (int, float)) for t in last)
    ]
    return "; ".join(known)


def _value(value: Any) -> str:
    """A field that mlxops does not know, or one that is not often set."""
    if isinstance(value, list) and all(isinstance(one, (str, int, float)) for one in value):
        return printable(shlex.join(map(str, value)))
    if isinstance(value, (dict, list)):
        import json

        return printable(json.dumps(value, ensure_ascii=False)) if value else ""
    return cell(value)


def _port_title(port: Mapping[str, Any]) -> str:
    name = f" ({printable(port['slot_name'])})" if port.get("slot_name") else ""
    return f"port {cell(port['port'])}{name}"


def _port_facts(port: Mapping[str, Any], entry: Any, style: Style) -> Facts:
    trouble = port.get("drift") or port.get("broken")
    served = cell(port.get("served_model"))
    runtime = f", by {printable(port['runtime'])}" if port.get("runtime") else ""
    facts = [
        ("state", _state(port, style)),
        ("drift", style.wrong(cell(port["drift"])) if port.get("drift") else ""),
        ("reason", with_relative_times(printable(port.get("reason") or ""))),
        ("next", next_step(dict(port)) if trouble else ""),
        ("entry", "" if entry else cell(port.get("entry"))),
        ("serves", "" if served == "-" else f"{served}{runtime}"),
        ("memory", size(port.get("rss_bytes"))),
        ("process", _process(port, entry)),
        ("also", printable(port["beside"]) if port.get("beside") else ""),
    ]
    return _known(facts)


def _state(port: Mapping[str, Any], style: Style) -> str:
    since = f" for {duration(port['uptime_s'])}" if port.get("uptime_s") is not None else ""
    answers = port.get("latency_ms")
    quick = f", answers in {latency(answers)}" if answers is not None else ""
    return f"{state_cell(port, style)}{since}{quick}"


def _process(port: Mapping[str, Any], entry: Any) -> str:
    if port.get("pid") is None:
        return ""
    started = (entry or {}).get("process") or {}
    if not isinstance(started, dict) or started.get("pid") != port["pid"]:
        return f"pid {cell(port['pid'])}"
    by = f" by {printable(started['launched_by'])}" if started.get("launched_by") else ""
    at = f", started {ago(started['launched_at'])}{by}" if started.get("launched_at") else ""
    trial = ", not wanted after a crash (--no-keep)" if started.get("keep") is False else ""
    return f"pid {cell(port['pid'])}{at}{trial}"


def _settings(sources: Mapping[str, Any]) -> Facts:
    shown = {
        key: row
        for key, row in sources.items()
        if _is_set(row) or row["from"] != _UNSET or row.get("proposed")
    }
    values = {key: _value(row["value"]) if _is_set(row) else "" for key, row in shown.items()}
    wide = max(map(width, values.values()), default=0)
    return [
        (printable(key), f"{_setting(values[key], wide)}{printable(row['from'])}{_proposal(row)}")
        for key, row in shown.items()
    ]


def _is_set(row: Mapping[str, Any]) -> bool:
    return row["value"] not in (None, [], "")


def _setting(value: str, wide: int) -> str:
    return f"{value:<{wide}}  " if value else ""


def _proposal(row: Mapping[str, Any]) -> str:
    return f"; proposed: {_value(row['proposed'])}" if row.get("proposed") else ""


def _command(words: list[Any], room: int | None) -> list[str]:
    """The command line; on a terminal with continuation marks, so that it can be copied."""
    parts = [printable(shlex.quote(str(word))) for word in words]
    if room is None:
        return ["  " + " ".join(parts)]
    return list(_continued(parts, room))


def _continued(parts: list[str], room: int) -> Iterator[str]:
    line = "  " + parts[0]
    for part in parts[1:]:
        if width(line) + width(part) + 3 > room:
            yield line + " \\"
            line = "    " + part
        else:
            line += " " + part
    yield line
