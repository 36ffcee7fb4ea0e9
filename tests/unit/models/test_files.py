"""Whether a model folder is complete, its format and kind; hostile content never raises an
exception."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.models import cache as hfcache
from mlxops.agent.models import completeness
from mlxops.agent.models import files as modelfiles
from mlxops.agent.untrusted import is_safe_relative_path
from mlxops.demo.tinymodel import model_files

FILES = model_files(["I", " am"])
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def folder(tmp_path: Path, **changes: Any) -> Path:
    """A complete model folder, with changes by file name: bytes, an object for JSON, or None to
    omit it."""
    for name, content in {**FILES, **changes}.items():
        if content is not None:
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            (tmp_path / name).write_bytes(raw)
    return tmp_path


def safetensors(metadata: dict[str, str] | None, tensors: bytes = b"1234") -> bytes:
    tensor = {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, len(tensors)]}}
    header = json.dumps({**({"__metadata__": metadata} if metadata else {}), **tensor}).encode()
    return struct.pack("<Q", len(header)) + header + tensors


def missing(path: Path) -> tuple[str, ...]:
    return hfcache.inspect(str(path)).missing


def test_the_tiny_model_is_whole(tmp_path: Path) -> None:
    found = hfcache.inspect(str(folder(tmp_path)))
    assert (found.missing, found.format, found.kind) == ((), "mlx", "chat")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("fate", ["absent", "empty", "dangling", "folder"])
def test_each_needed_file_must_be_there_with_content(tmp_path: Path, name: str, fate: str) -> None:
    (folder(tmp_path) / name).unlink()
    if fate == "empty":
        (tmp_path / name).touch()
    elif fate == "dangling":
        (tmp_path / name).symlink_to("blob-that-is-gone")
    elif fate == "folder":
        (tmp_path / name).mkdir()
    assert missing(tmp_path) == (name,)


def test_every_shard_of_the_weight_map_must_be_there(tmp_path: Path) -> None:
    index = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
    changes = {"model.safetensors": None, modelfiles.INDEX: index, SHARDS[0]: safetensors(None)}
    assert missing(folder(tmp_path, **changes)) == (SHARDS[1],)
    (tmp_path / SHARDS[1]).write_bytes(safetensors(None))
    assert missing(tmp_path) == ()


def test_shards_without_their_index_are_whole_by_their_numbers(tmp_path: Path) -> None:
    one = safetensors(None)
    changes = {"model.safetensors": None, modelfiles.INDEX: None, SHARDS[0]: one, SHARDS[1]: one}
    assert missing(folder(tmp_path, **changes)) == ()
    assert hfcache.weights_bytes(str(tmp_path)) == 2 * len(one)
    (tmp_path / SHARDS[0]).unlink()
    assert missing(tmp_path) == (SHARDS[0],)


def test_a_stale_index_beside_a_complete_set_of_shards_is_passed_over(tmp_path: Path) -> None:
    old = {"weight_map": {str(n): f"model-{n:05}-of-00013.safetensors" for n in range(1, 14)}}
    one = safetensors(None)
    changes = {"model.safetensors": None, modelfiles.INDEX: old, SHARDS[0]: one, SHARDS[1]: one}
    assert missing(folder(tmp_path, **changes)) == ()
    # A download of the build that the index is of, cut off after its first shard, is no whole
    # model.
    (tmp_path / SHARDS[1]).unlink()
    assert SHARDS[1] in missing(tmp_path)
    (tmp_path / SHARDS[0]).rename(tmp_path / "model-00001-of-00013.safetensors")
    assert len(missing(tmp_path)) == 12


def test_an_index_adds_only_what_the_loader_reads(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "mtp.a": "mtp.safetensors"}}
    assert missing(folder(tmp_path, **{modelfiles.INDEX: index})) == ()
    index["weight_map"]["b"] = "model-vision.safetensors"
    assert missing(folder(tmp_path, **{modelfiles.INDEX: index})) == ("model-vision.safetensors",)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (
            "model.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
            "Git LFS pointer",
        ),
        ("model.safetensors", b"/annex/objects/SHA256E-s9--1.safetensors\n", "git-annex pointer"),
        ("model.safetensors", FILES["model.safetensors"][:-1], "truncated: "),
        ("model.safetensors", FILES["model.safetensors"][:100], "inside its header"),
        ("model.safetensors", bytes(4096), "not a safetensors file"),
        ("model.safetensors", b"<!DOCTYPE html>" * 20, "not a safetensors file"),
        ("model.safetensors", struct.pack("<Q", 20) + b'{"w": {"dtype": 1}} ', "gives no offsets"),
        ("model.safetensors", struct.pack("<Q", 2) + b"[]", "not JSON"),
        ("config.json", bytes(500), "not a JSON object"),
        ("config.json", b"[1]", "not a JSON object"),
        ("tokenizer.json", FILES["tokenizer.json"][:-40], "not JSON"),
        ("tokenizer.json", bytes(500), "filled with zeros"),
        ("tokenizer.json", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("tokenizer_config.json", b"<html>not found</html>", "HTML"),
        ("tokenizer_config.json", b"[]", "not a JSON object"),
        ("special_tokens_map.json", b"{", "not JSON"),
        ("chat_template.jinja", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_told_with_the_reason(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    found = hfcache.inspect(str(folder(tmp_path, **{name: content})))
    assert found.missing == (name,) and why in found.fault_texts[0] and not found.complete


def test_only_a_load_parses_a_large_file(tmp_path: Path) -> None:
    padded = b'{"a": "' + b"x" * (3 << 20) + b'", "b": oops}'
    folder(tmp_path, **{"tokenizer.json": padded})
    assert completeness.find_faults(str(tmp_path)) == {}
    assert "not JSON" in completeness.find_faults(str(tmp_path), deep=True)["tokenizer.json"]
    folder(tmp_path, **{"tokenizer.json": padded[:-1]})
    assert "truncated" in completeness.find_faults(str(tmp_path))["tokenizer.json"]


def test_a_single_weights_file_needs_no_index(tmp_path: Path) -> None:
    assert missing(folder(tmp_path, **{modelfiles.INDEX: None})) == ()


def test_a_dangling_link_to_an_optional_file_counts_where_a_server_reads_it(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").symlink_to("gone")
    assert missing(tmp_path) == ()
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.jinja").symlink_to("gone")
    assert missing(tmp_path) == ("chat_template.jinja",)


@pytest.mark.parametrize(
    "names",
    [
        ["tokenizer.model"],
        ["vocab.json", "merges.txt"],
        ["qwen.tiktoken"],
        ["tekken.json"],
        ["tiktoken.model"],
        ["tokenizer.jsonl"],
        ["rwkv_vocab_v20230424.txt"],
    ],
)
def test_other_tokenizers_count(tmp_path: Path, names: list[str]) -> None:
    folder(tmp_path, **{"tokenizer.json": None, **dict.fromkeys(names, b"x")})
    assert missing(tmp_path) == ()
    (tmp_path / names[0]).unlink()
    assert missing(tmp_path) == ("tokenizer.json",)


@pytest.mark.parametrize(
    "shard",
    ["../outside.safetensors", "/etc/hostname", "a/../../outside.safetensors", "", 7, None, []],
)
def test_a_weight_map_that_leads_out_of_the_folder_is_not_followed(
    tmp_path: Path, shard: object
) -> None:
    (tmp_path / "outside.safetensors").write_bytes(b"x")
    inside = tmp_path / "model"
    inside.mkdir()
    index = {"weight_map": {"a": shard}}
    folder(inside, **{"model.safetensors": None, modelfiles.INDEX: index})
    assert len(missing(inside)) == 1
    assert hfcache.weights_bytes(str(inside)) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 200_000,
        b'{"weight_map": []}',
        b'{"weight_map": {}}',
    ],
)
def test_a_broken_index_is_a_stale_one_unless_only_it_could_name_the_weights(
    tmp_path: Path, raw: bytes
) -> None:
    assert missing(folder(tmp_path, **{modelfiles.INDEX: raw})) == ()
    assert completeness.has_stale_index(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    assert missing(tmp_path) == (modelfiles.INDEX,)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000])
def test_a_broken_config_is_missing(tmp_path: Path, raw: bytes) -> None:
    assert "config.json" in missing(folder(tmp_path, **{"config.json": raw}))


def test_a_pipe_or_a_loop_in_the_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    folder(tmp_path, **{"config.json": None, modelfiles.INDEX: None})
    os.mkfifo(tmp_path / "config.json")
    (tmp_path / modelfiles.INDEX).symlink_to(modelfiles.INDEX)
    assert missing(tmp_path) == ("config.json",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {
                "config.json": {"model_type": "q", "quantization": {"bits": 4}},
                "model.safetensors": safetensors(None),
            },
            "mlx",
        ),
        ({"model.safetensors": safetensors({"format": "mlx"})}, "mlx"),
        ({"model.safetensors": safetensors({"format": "pt"})}, "other"),
        ({"model.safetensors": safetensors(None)}, "other"),
        (
            {"config.json": {"quantization": "gptq"}, "model.safetensors": safetensors(None)},
            "other",
        ),
        (
            {
                "config.json": {"quantization_config": {"bits": 4}},
                "model.safetensors": safetensors(None),
            },
            "other",
        ),
        ({"model.safetensors": None, "m.Q4_K_M.gguf": b"GGUF"}, "gguf"),
        ({"model.safetensors": None}, "other"),
        ({"model.safetensors": b"short"}, "other"),
        ({"model.safetensors": b"\xff" * 64}, "other"),
        ({"model.safetensors": struct.pack("<Q", 1 << 40) + b"{}"}, "other"),
        ({"model.safetensors": struct.pack("<Q", 9) + b'{"__meta'}, "other"),
        ({"model.safetensors": struct.pack("<Q", 100_000) + b"[" * 100_000}, "other"),
        ({"model.safetensors": struct.pack("<Q", 19) + b'{"__metadata__": 5}'}, "other"),
    ],
)
def test_format(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert hfcache.inspect(str(folder(tmp_path, **changes))).format == expected


def test_only_the_header_of_the_weights_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors({"format": "mlx"}))
    os.truncate(path, 1 << 40)  # Sparse: reading all of it would not end.
    assert modelfiles.header_metadata(str(path)) == {"format": "mlx"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("config.json", True),
        ("model-00001-of-00002.safetensors", True),
        ("tokenizer.model", True),
        ("merges.txt", True),
        ("chat_template.jinja", True),
        ("modeling_x.py", True),
        ("qwen.tiktoken", True),
        ("2_D/model.safetensors", True),
        ("README.md", False),
        ("model.gguf", False),
        ("pytorch_model.bin", False),
        ("consolidated.safetensors", False),
        ("original/params.json", False),
        (".gitattributes", False),
        ("../config.json", False),
        ("/config.json", False),
        ("a//b.json", False),
        ("a\\b.json", False),
        ("a\n.json", False),
        ("", False),
        ("x" * 2000 + ".json", False),
    ],
)
def test_wanted(name: str, expected: bool) -> None:
    assert modelfiles.is_needed_file(name) is expected


@given(st.text())
def test_a_plain_name_never_leaves_its_folder(name: str) -> None:
    if is_safe_relative_path(name):
        assert os.path.normpath(os.path.join("/a/b", name)).startswith("/a/b/")


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("model")
    for name in ("config.json", "model.safetensors", modelfiles.INDEX):
        (path / name).write_bytes(raw)
    found = hfcache.inspect(str(path))
    assert not found.complete and found.format in ("mlx", "other")
