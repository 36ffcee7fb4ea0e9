"""Files that are not a registry, or a strange one: refused with position and reason, never read as
empty."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlxops.agent.errors import RegistryInvalid
from mlxops.agent.registry.entries import dump, parse

FIELDS = {
    "repo_id": "org/model",
    "model_id": "org/model",
    "cache_path": "/hub/x",
    "format": "mlx",
    "port": 8100,
    "wanted": 8100,
}


def file_of(fields: dict[str, Any], name: str = "amber") -> bytes:
    return json.dumps({"version": 1, "models": {name: fields}}).encode()


def only(content: bytes) -> dict[str, Any]:
    (entry,) = parse(content).entries.values()
    return dict(entry.fields)


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"{", 1, 2),
        (b'{"models": {\n  "a": {,}\n}}', 2, 9),
        (b'{"a": 1,}', 1, 9),
        (b"{} {}", 1, 4),
        (b"\n\nx", 3, 1),
    ],
)
def test_corrupt_json_is_named_with_line_and_column(content: bytes, line: int, column: int):
    with pytest.raises(RegistryInvalid, match=r"line \d+, column \d+") as refused:
        parse(content)
    assert refused.value.fields["line"] == line
    # Where exactly a dangling comma is reported differs between Python versions by one.
    assert abs(refused.value.fields["column"] - column) <= 1


HOSTILE = {
    "empty": b"",
    "blank": b" \n",
    "not an object": b"[]",
    "a bare word": b'"x"',
    "models a list": b'{"models": []}',
    "models text": b'{"models": "x"}',
    "entry a list": b'{"models": {"amber": []}}',
    "entry null": b'{"models": {"amber": null}}',
    "NaN": b'{"x": NaN}',
    "infinity": b'{"models": {"a": {"x": -Infinity}}}',
    "a number beyond every float": b'{"models": {"a": {"x": 1e999}}}',
    "the same entry twice": b'{"models": {"amber": {}, "amber": {}}}',
    "the same field twice": b'{"models": {"amber": {"port": 8100, "port": 8101}}}',
    "the same top key twice": b'{"models": {}, "models": {}}',
    "a bomb of lists": b"[" * 200_000,
    "a bomb of objects": b'{"a":' * 100_000,
    "a bomb that closes": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b'{"x": "\xff\xfe"}',
    "UTF-16": '{"models": {}}'.encode("utf-16"),
    "cut in half": file_of(FIELDS)[:40],
    "NUL bytes": b"\0" * 100,
    "a NUL in a name": b'{"models": {"a\0": {}}}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_registry_is_refused_and_never_empty(content: bytes):
    with pytest.raises(RegistryInvalid):
        parse(content)


def test_the_key_that_is_there_twice_is_named():
    with pytest.raises(RegistryInvalid, match="'port' twice"):
        parse(HOSTILE["the same field twice"])


@pytest.mark.parametrize("depth", [50, 300, 600, 900, 950, 980])
def test_whatever_depth_is_read_is_written_again_or_refused_as_too_deep(depth: int):
    content = b'{"models": {}, "x": ' + b"[" * depth + b"]" * depth + b"}"
    try:
        assert parse(dump(parse(content))) == parse(content)
    except RegistryInvalid as refused:
        assert depth > 300
        assert refused.message


def test_a_byte_order_mark_is_no_error():
    assert parse(b"\xef\xbb\xbf" + file_of(FIELDS)).entries["amber"].port == 8100


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc80 and 日本"])
def test_a_lone_surrogate_survives_in_a_name_and_in_an_unknown_field(text: str):
    fields = {**FIELDS, "note": text}
    assert only(dump(parse(file_of(fields, name=text)))) == fields


def test_a_huge_integer_in_an_unknown_field_survives():
    assert only(dump(parse(file_of({**FIELDS, "x": 10**400}))))["x"] == 10**400
