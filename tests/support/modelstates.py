"""Model repositories in every state that a cache has them in, with sparse or tiny files."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from mlxops.demo.tinymodel import model_files, write_cache

FILES = model_files(["I", " am"])
WEIGHTS = FILES["model.safetensors"]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 4096\n" % (b"0" * 64)
STALE = json.dumps({"weight_map": {"a": "model-00001-of-00013.safetensors"}}).encode()
PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
NO_WEIGHTS = {name: raw for name, raw in FILES.items() if "safetensors" not in name}
AWAY = "/Volumes/Away"


def tensors(**sizes: int) -> bytes:
    """A safetensors file with these tensors, name -> bytes."""
    header, end = {}, 0
    for name, size in sizes.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({"__metadata__": {"format": "mlx"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


Make = Callable[[Path, str], Path]


def with_files(files: Mapping[str, bytes]) -> Make:
    return lambda hub, repo: write_cache(hub, repo, files)


def without_refs(*made: Mapping[str, bytes]) -> Make:
    """Snapshots without refs/main."""

    def make(hub: Path, repo: str) -> Path:
        paths = [write_cache(hub, repo, files) for files in made]
        (paths[0].parents[1] / "refs" / "main").unlink()
        return paths[0]

    return make


def main_moved(hub: Path, repo: str) -> Path:
    """A whole snapshot, and refs/main at a later one with config.json alone."""
    path = write_cache(hub, repo, FILES)
    write_cache(hub, repo, {"config.json": FILES["config.json"], "README.md": b"new"})
    return path


def branch_only(hub: Path, repo: str) -> Path:
    path = without_refs(FILES, model_files(["other"]))(hub, repo)
    (path.parents[1] / "refs" / "8bit").write_text(path.name)
    return path


def linked_away(part: str) -> Make:
    """The repository, or a folder of it, as a link to a disk that is not mounted."""

    def make(hub: Path, repo: str) -> Path:
        path = write_cache(hub, repo, FILES)
        link = path.parents[1] / part
        shutil.rmtree(link)
        os.symlink(f"{AWAY}/{part or 'repo'}", str(link).rstrip("/"))
        return path

    return make


def broken_link(hub: Path, repo: str) -> Path:
    path = write_cache(hub, repo, FILES)
    (path / "model.safetensors").resolve().unlink()
    return path


def copied(hub: Path, repo: str) -> Path:
    """A cache copied to exFAT by macOS: no links, and a `._` twin beside every file."""
    path = write_cache(hub, repo, FILES)
    for file in list(path.iterdir()):
        raw = file.read_bytes()
        file.unlink()
        file.write_bytes(raw)
        file.with_name("._" + file.name).write_bytes(b"\0\5\26\7" + bytes(4092))
    return path


SHARDED = {
    **{name: raw for name, raw in FILES.items() if not name.endswith("index.json")},
}
del SHARDED["model.safetensors"]
SHARDED |= {PARTS[0]: WEIGHTS, PARTS[1]: tensors(extra=8)}

WHOLE: dict[str, Make] = {
    "whole": with_files(FILES),
    "no-index": with_files(SHARDED),
    "stale-index": with_files({**SHARDED, "model.safetensors.index.json": STALE}),
    "pinned": without_refs(FILES),
    "exfat": copied,
}
OTHER_REVISION: dict[str, Make] = {
    "main-moved": main_moved,
    "several": without_refs(FILES, model_files(["other"])),
    "branch-only": branch_only,
}
BROKEN: dict[str, Make] = {
    "gap": with_files({name: raw for name, raw in SHARDED.items() if name != PARTS[1]}),
    "cut": with_files({**FILES, "model.safetensors": WEIGHTS[: len(WEIGHTS) // 2]}),
    "lfs": with_files({**FILES, "model.safetensors": LFS}),
    "annex": with_files({**FILES, "model.safetensors": b"/annex/objects/SHA256E-s9--0\n"}),
    "html": with_files({**FILES, "tokenizer_config.json": b"<!doctype html><html></html>"}),
    "broken-link": broken_link,
    "no-tokenizer": with_files({k: v for k, v in FILES.items() if k != "tokenizer.json"}),
    "mtp": with_files({**FILES, "model-mtp.safetensors": tensors(mtp=8)}),
    "npz": with_files({**NO_WEIGHTS, "weights.npz": b"PK\3\4" + bytes(99)}),
    "consolidated": with_files({**NO_WEIGHTS, "consolidated.safetensors": WEIGHTS}),
    "bin": with_files({**NO_WEIGHTS, "pytorch_model.bin": b"PK\3\4" + bytes(99)}),
    "gguf": with_files({"model-Q4_K_M.gguf": b"GGUF" + bytes(99)}),
}
GONE: dict[str, Make] = {
    "repo-away": linked_away(""),
    "blobs-away": linked_away("blobs"),
    "snapshots-away": linked_away("snapshots"),
}
