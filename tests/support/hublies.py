"""What a hostile Hub, or a mirror, may say of a repository and its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Lies:
    """What a hostile Hub says of every file: `headers` of its answers to HEAD and GET, the
    `location` of large ones; `listed` fields of its listing's entries, by file name; `endless`:
    large files go on for so many more bytes; `siblings`: so many more files are listed; `sha`: the
    commit that the listing names; `absent`: files that are not there, with the commit that the
    refusal names."""

    headers: dict[str, str] = field(default_factory=dict)
    location: str = ""
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    endless: int = 0
    siblings: int = 0
    sha: str = ""
    absent: dict[str, str] = field(default_factory=dict)
