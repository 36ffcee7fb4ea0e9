"""What is asked about: a model folder, or a repository's list of files before a download."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, NamedTuple, Optional, Union

from ..untrusted import read_bounded

MAX_CONFIG_BYTES = 8 << 20


class Folder(NamedTuple):
    """A model folder on this host."""

    path: str

    def config(self) -> Optional[str]:
        raw = read_bounded(os.path.join(self.path, "config.json"), MAX_CONFIG_BYTES)
        return None if raw is None else raw.decode("utf-8", "replace")

    def identity(self) -> str:
        """Changes with the folder's content. OSError if it cannot be listed."""
        parts = [os.path.realpath(self.path), self.config() or ""]
        with os.scandir(self.path) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                try:
                    was = entry.stat()
                    parts.append("%s %d %d" % (entry.name, was.st_size, was.st_mtime_ns))
                except OSError:
                    parts.append(entry.name)
        return "\0".join(parts)

    def request(self) -> Dict[str, Any]:
        return {"config": self.config(), "path": self.path}


class Listing(NamedTuple):
    """A repository before its download: the text of config.json, and name -> bytes of its
    files."""

    config_text: str
    files: Mapping[str, int]

    def config(self) -> Optional[str]:
        return self.config_text

    def identity(self) -> str:
        names = ("%s %s" % item for item in sorted(self.files.items()))
        return "\0".join((self.config_text, *names))

    def request(self) -> Dict[str, Any]:
        return {"config": self.config_text, "files": dict(self.files)}


Source = Union[Folder, Listing]
