"""False statements of a hostile Hub or mirror about a repository and its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Lies:
    """What a hostile Hub answers for every file: `headers` of its answers to HEAD and GET, the
    `location` of large files; `listed` fields of the entries of its listing, by file name;
    `endless`: extra bytes of large files; `siblings`: extra files in the listing; `strange`:
    elements of the listing that describe no file; `sha`: the commit in the listing; `absent`:
    missing files, with the commit named in the refusal."""

    headers: dict[str, str] = field(default_factory=dict)
    location: str = ""
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    endless: int = 0
    siblings: int = 0
    strange: list[Any] = field(default_factory=list)
    sha: str = ""
    absent: dict[str, str] = field(default_factory=dict)
