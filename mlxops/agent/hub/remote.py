"""A repository as the Hub lists it."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Tuple


class Remote(NamedTuple):
    """What a download would fetch. `asked` is the branch, tag or commit asked for, `revision` the
    commit it names now; `files` are (path, bytes) of what a server needs; `missing_bytes` is what
    is not on disk yet; `config` is its config.json, {} when that is none; `blobs` the id of each
    file's content, as the Hub lists it."""

    repo_id: str
    revision: str
    files: Tuple[Tuple[str, int], ...]
    size_bytes: int
    missing_bytes: int
    gated: bool
    requested: str = "main"
    config: Mapping[str, Any] = {}
    blobs: Mapping[str, str] = {}

    def record(self) -> Dict[str, Any]:
        """For programs, and for whoever shows it."""
        sizes = {"size_bytes": self.size_bytes, "missing_bytes": self.missing_bytes}
        return {"repo_id": self.repo_id, "revision": self.revision, **sizes}

    @property
    def weights_bytes(self) -> int:
        return sum(size for path, size in self.files if path.endswith(".safetensors"))
