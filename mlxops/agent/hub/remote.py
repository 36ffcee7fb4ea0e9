"""A repository on the Hub."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Tuple

from ..models.completeness import loaded_weights


class Remote(NamedTuple):
    """What a download would fetch. `requested`: the branch, tag or commit; `revision`: its commit
    now; `files`: (path, bytes) of the files that a server needs; `missing_bytes`: not on disk yet;
    `config`: its config.json, {} if there is none; `blobs`: the content id of each file.
    `allow_incomplete`: files that the Hub does not have may be missing afterwards."""

    repo_id: str
    revision: str
    files: Tuple[Tuple[str, int], ...]
    size_bytes: int
    missing_bytes: int
    gated: bool
    requested: str = "main"
    config: Mapping[str, Any] = {}
    blobs: Mapping[str, str] = {}
    allow_incomplete: bool = False

    def record(self) -> Dict[str, Any]:
        """The keys of the JSON output."""
        sizes = {"size_bytes": self.size_bytes, "missing_bytes": self.missing_bytes}
        return {"repo_id": self.repo_id, "revision": self.revision, **sizes}

    @property
    def weights_bytes(self) -> int:
        """Of the files that mlx-lm would load; without any, of all weights."""
        sizes = {path: size for path, size in self.files if path.endswith(".safetensors")}
        return sum(sizes[path] for path in loaded_weights(sizes) or sizes)
