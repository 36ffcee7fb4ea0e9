"""What an entry is started with, whatever the runtime."""

from __future__ import annotations

from ..registry.entries import Entry
from .table import Launch, Runtime


def template_text(runtime: Runtime, entry: Entry) -> str:
    """The template's text, for a runtime that takes no path."""
    path = entry.text("chat_template")
    if not path or not runtime.template_inline:
        return ""
    with open(path, encoding="utf-8") as f:
        return f.read()


def launch_of(entry: Entry, port: int, bind: str, served_name: str) -> Launch:
    """What an entry is started with."""
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
