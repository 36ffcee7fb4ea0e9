"""The launch settings of an entry, for any runtime."""

from __future__ import annotations

import os
from typing import NoReturn

from ..errors import Failed, mlxops_command, write_error
from ..formats.templates import read_template, template_bytes, template_copy
from ..registry.entries import Entry
from .table import Launch, Runtime

COPIES = "templates"


def template_text(runtime: Runtime, entry: Entry) -> str:
    """The text of the template, for a runtime whose option takes the text; else ""."""
    path = entry.text("chat_template")
    return _text(entry, path) if path and runtime.template_inline else ""


def write_template_copy(state_dir: str, runtime: Runtime, entry: Entry) -> None:
    """Write the file that the server will read, if its template is inside of a JSON file."""
    path = entry.text("chat_template") or ""
    if not template_copy(path) or runtime.template_inline or not runtime.chat_template:
        return
    copy, text = os.path.join(state_dir, COPIES, template_copy(path)), _text(entry, path)
    if read_template(copy) == text:
        return
    draft = "%s.%d.tmp" % (copy, os.getpid())
    try:
        os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
        with open(draft, "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(draft, copy)
    except OSError as exc:
        raise write_error(exc, copy) from exc


def _text(entry: Entry, path: str) -> str:
    content = template_bytes(path)
    try:
        return content.decode("utf-8") if content is not None else _unreadable(entry, path, "")
    except UnicodeDecodeError as exc:
        return _unreadable(entry, path, ": %s" % exc)


def _unreadable(entry: Entry, path: str, why: str) -> NoReturn:
    text = "%s: cannot read the chat template %s as text%s" % (entry.name, path, why)
    raise Failed(text, mlxops_command("set", entry.name, "chat_template=PATH"), entry=entry.name)


def launch_of(
    entry: Entry, port: int, bind: str, served_name: str, *, state_dir: str = ""
) -> Launch:
    """The launch settings of an entry on a port. `state_dir`: where copies of templates are."""
    template = entry.text("chat_template")
    if template_copy(template):
        template = os.path.join(state_dir, COPIES, template_copy(template))
    return Launch(
        model_path=entry.cache_path,
        port=port,
        bind=bind,
        served_name=served_name,
        chat_template=template,
        tool_call_parser=entry.text("tool_call_parser"),
        reasoning_parser=entry.text("reasoning_parser"),
        args=entry.args,
    )
