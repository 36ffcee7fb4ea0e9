"""The copies and drafts beside the registry file.

`registry.json.bak` is the registry as mlxops last wrote it, to restore a broken file from.
`registry.json.bak.1` is the file before that write. Drafts are renamed once complete; a killed
command leaves them behind."""

from __future__ import annotations

import os
from typing import List, Optional

from ..errors import RegistryInvalid
from ..procs import signals
from ..untrusted import read_bounded
from . import entries as registry

# Far more than any real registry.
MAX_BYTES = 64 << 20
DRAFT = ".tmp-"


def backup(path: str) -> str:
    """The copy of what was last written."""
    return path + ".bak"


def older_backup(path: str) -> str:
    """The copy of the file before the last write."""
    return path + ".bak.1"


def newest_valid(path: str) -> Optional[str]:
    """The newest copy that is a valid registry; None if there is none."""
    for copy in (backup(path), older_backup(path)):
        content = read_bounded(copy, MAX_BYTES)
        if content is None:
            continue
        try:
            registry.parse(content)
            return copy
        except RegistryInvalid:
            continue
    return None


def has_content(path: str, content: bytes) -> bool:
    """Whether a file has exactly this content."""
    return read_bounded(path, len(content) + 1) == content


def draft_path(path: str) -> str:
    """A unique name for a draft, with the pid of its writer."""
    return "%s%s%d-%s" % (path, DRAFT, os.getpid(), os.urandom(4).hex())


def abandoned_drafts(path: str) -> List[str]:
    """The drafts of dead writers."""
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    drafts = [os.path.join(folder, each) for each in names if each.startswith(name + DRAFT)]
    return [each for each in drafts if not _writer_lives(each)]


def _writer_lives(path: str) -> bool:
    pid = path.rpartition(DRAFT)[2].partition("-")[0]
    return pid.isdigit() and len(pid) < 10 and signals.exists(int(pid))


def discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
