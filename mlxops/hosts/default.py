"""The default host, `host` in config.toml: set and unset it, keeping every other line."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from ..agent.errors import Usage
from . import files, folders
from . import toml as hostfile
from .ownership import require_own
from .template import write_new

HOST_LINE = re.compile(r"""[ \t]*host[ \t]*=[ \t]*(?:"[^"\n]*"|'[^'\n]*')([ \t]*(?:\#.*)?)\n?""")
TABLE_LINE = re.compile(r"[ \t]*\[")


def set_default(path: Path, name: str | None) -> str | None:
    """Write the default host into the file, or remove it. Return the one before."""
    text = _text(path)
    before = _configured(path, text)
    if before == name:
        return name
    changed = _changed(text, name)
    values = {**tomllib.loads(text), **({"host": name} if name else {})}
    if name is None:
        values.pop("host", None)
    if _values(changed) != values:
        raise Usage(
            f"{path}: cannot change host without other lines", f"edit {path}", file=str(path)
        )
    write_new(path.resolve(), changed, replace=True)
    return before


def keep_only_host(new: str, hosts_dir: str | None) -> str | None:
    """Make the only usable host the default before `new` is added beside it: verbs without --host
    then still use it. Return its name; None if there is no such host, or a default is set or cannot
    be."""
    path, known = folders.config_path(), files.available(hosts_dir)
    if path is None or len(known) != 1 or new in known:
        return None
    (only,) = known.values()
    if only.folder.source == folders.FLAG:  # of one command, while config.toml is for all
        return None
    try:
        files.read_host(only.path)
        if _configured(path, _text(path)):
            return None
        set_default(path, only.name)
    except (Usage, OSError):  # a config.toml that cannot be changed does not stop hosts add
        return None
    return only.name


def _configured(path: Path, text: str) -> str | None:
    host: str | None = hostfile.parse(path, text).take("host", hostfile.text, None)
    return host


def _text(path: Path) -> str:
    if not path.exists():
        return ""
    require_own(path)
    hostfile.read(path)
    return path.read_text("utf-8")


def _values(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except ValueError:
        return None


def _changed(text: str, name: str | None) -> str:
    lines = text.splitlines(keepends=True)
    tables = (number for number, line in enumerate(lines) if TABLE_LINE.match(line))
    top = next(tables, len(lines))
    for number, line in enumerate(lines[:top]):
        found = HOST_LINE.fullmatch(line)
        if found:
            new = [] if name is None else [f"host = {_quoted(name)}{found[1]}\n"]
            return "".join([*lines[:number], *new, *lines[number + 1 :]])
    return text if name is None else f"host = {_quoted(name)}\n{text}"


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
