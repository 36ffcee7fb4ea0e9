"""The launch settings of an entry, for any runtime."""

from __future__ import annotations

from typing import NoReturn

from ..errors import Failed, mlxops_command
from ..registry.entries import Entry
from ..untrusted import read_bounded
from .table import Launch, Runtime

MAX_TEMPLATE_BYTES = 4 << 20


def template_text(runtime: Runtime, entry: Entry) -> str:
    """The text of the template, for a runtime whose option takes the text; else ""."""
    path = entry.text("chat_template")
    if not path or not runtime.template_inline:
        return ""
    content = read_bounded(path, MAX_TEMPLATE_BYTES)
    try:
        return content.decode("utf-8") if content is not None else _unreadable(entry, path, "")
    except UnicodeDecodeError as exc:
        return _unreadable(entry, path, ": %s" % exc)


def _unreadable(entry: Entry, path: str, why: str) -> NoReturn:
    text = "%s: cannot read the chat template %s as text%s" % (entry.name, path, why)
    raise Failed(text, mlxops_command("set", entry.name, "chat_template=PATH"), entry=entry.name)


def launch_of(entry: Entry, port: int, bind: str, served_name: str) -> Launch:
    """The launch settings of an entry on a port."""
    return Launch(
        model_path=entry.cache_path,
        port=port,
        bind=bind,
        served_name=served_name,
        chat_template=entry.text("chat_template"),
        tool_call_parser=entry.text("tool_call_parser"),
        reasoning_parser=entry.text("reasoning_parser"),
        args=entry.args,
    )
