"""Chat template files: those in a snapshot, and those that the host has for models without one."""

from __future__ import annotations

import os
from typing import Iterator, NamedTuple, Optional

from ..untrusted import is_safe_relative_path, parse_object, read_bounded

MAX_TEMPLATE_BYTES = 4 << 20
SUFFIX = ".jinja"


class Template(NamedTuple):
    """The text of a template and its origin. `path`: what to pass to the server, "" if it finds the
    template itself."""

    text: str
    path: str
    source: str


NO_TEMPLATE = Template("", "", "")


def read_template(path: str) -> str:
    """The text of a template file; "" if it is missing, empty, unreadable or not a regular file."""
    return (read_bounded(path, MAX_TEMPLATE_BYTES) or b"").decode("utf-8", "replace")


def snapshot_template(path: str) -> Template:
    """The template that a server finds in the snapshot at `path`, or the only one there under
    another name."""
    text = read_template(os.path.join(path, "chat_template" + SUFFIX)) or _inside(path)
    return Template(text, "", "the snapshot") if text else _loose(path)


def _inside(path: str) -> str:
    """The template in a JSON file; if it is a list of named templates, all of them as one text."""
    for name in ("chat_template.json", "tokenizer_config.json"):
        value = parse_object(read_bounded(os.path.join(path, name), MAX_TEMPLATE_BYTES)).get(
            "chat_template"
        )
        rows = value if isinstance(value, list) else [{"template": value}]
        texts = [row.get("template") for row in rows if isinstance(row, dict)]
        text = "\n".join(t for t in texts if isinstance(t, str))
        if text:
            return text
    return ""


def _loose(path: str) -> Template:
    try:
        names = [name for name in os.listdir(path) if name.endswith(SUFFIX)]
    except OSError:
        return NO_TEMPLATE
    place = os.path.join(path, names[0]) if len(names) == 1 else ""
    text = read_template(place) if place else ""
    return (
        Template(text, place, "%s, the only template of the snapshot" % names[0])
        if text
        else NO_TEMPLATE
    )


def host_template(folder: Optional[str], repo_id: str, model_type: str) -> Template:
    """The template in the host's folder for a model: by the name of its repository, else by its
    model type."""
    for place in _places(folder, repo_id, model_type):
        text = read_template(place)
        if text:
            return Template(text, place, "the host's template folder")
    return NO_TEMPLATE


def _places(folder: Optional[str], repo_id: str, model_type: str) -> Iterator[str]:
    for name in (repo_id.rpartition("/")[2], model_type):
        if folder and is_safe_relative_path(name) and "/" not in name:
            yield os.path.join(folder, name + SUFFIX)
