"""The files beside the registry that hold copies of it, or drafts.

`registry.json.bak` is the registry as mlxops last wrote it: what a broken file is restored from.
`registry.json.bak.1` is what the file held before that write. Drafts are renamed when they are
whole; a killed command leaves them."""

from __future__ import annotations

import os
from typing import List, Optional

from ..errors import RegistryInvalid
from ..procs import signals
from ..untrusted import read_bounded
from . import entries as registry

# Far more than a registry of all models that there are.
MAX_BYTES = 64 << 20
DRAFT = ".tmp-"


def backup(path: str) -> str:
    """The copy of what was last written."""
    return path + ".bak"


def older_backup(path: str) -> str:
    """The copy of what the last write replaced."""
    return path + ".bak.1"


def newest_valid(path: str) -> Optional[str]:
    """The copy to restore the registry from; None where there is none that can be read as a
    registry."""
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
    """Whether a file holds exactly this."""
    return read_bounded(path, len(content) + 1) == content


def draft_path(path: str) -> str:
    """A name that no other writer uses, with the writer's pid in it."""
    return "%s%s%d-%s" % (path, DRAFT, os.getpid(), os.urandom(4).hex())


def abandoned_drafts(path: str) -> List[str]:
    """Drafts whose writers are dead."""
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = [os.path.join(folder, each) for each in names if each.startswith(name + DRAFT)]
    return [each for each in found if not _writer_lives(each)]


def _writer_lives(path: str) -> bool:
    pid = path.rpartition(DRAFT)[2].partition("-")[0]
    return pid.isdigit() and len(pid) < 10 and signals.exists(int(pid))


def discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
