"""The agent's copy on the host, damaged by a disk, a power cut or a person: it is replaced."""

from __future__ import annotations

import _imp
import marshal
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlxops import bundle
from mlxops.agent.wire import stub
from tests.support.stubbed import agent, conversation


@pytest.fixture
def packed(tmp_path: Path) -> bundle.Bundle:
    return agent(tmp_path / "agent")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def short(image: bytes) -> bytes:
    return image[: len(image) // 4096 * 4096 or len(image) // 2]


def zeroed(image: bytes) -> bytes:
    return image[:20] + bytes(len(image) - 20)


def flipped(image: bytes) -> bytes:
    at = len(image) // 2
    return image[:at] + bytes([image[at] ^ 4]) + image[at + 1 :]


@pytest.mark.parametrize(
    "damage", [short, zeroed, flipped, bytes.upper, lambda image: b"", lambda image: b"x" * 9]
)
def test_a_damaged_agent_is_fetched_again(
    packed: bundle.Bundle, state: Path, damage: Callable[[bytes], bytes]
) -> None:
    conversation(packed, state)
    image = state / "agent" / packed.digest / stub.IMAGE
    whole = image.read_bytes()
    image.write_bytes(damage(whole))
    assert conversation(packed, state) == ["MARK MISS", "MARK OK", "HELLO"]
    assert image.read_bytes() == whole and image.stat().st_mode & 0o777 == 0o600
    assert conversation(packed, state) == ["MARK OK", "HELLO"]


def test_what_stands_in_the_way_of_the_agent_gives_way(packed: bundle.Bundle, state: Path) -> None:
    image = state / "agent" / packed.digest / stub.IMAGE
    image.mkdir(parents=True, mode=0o700)
    (image / "more").touch()
    for folder in (state, state / "agent", image.parent):
        folder.chmod(0o700)
    assert conversation(packed, state) == ["MARK MISS", "MARK OK", "HELLO"]
    assert conversation(packed, state) == ["MARK OK", "HELLO"]


def test_bytecode_beside_the_agent_is_neither_written_nor_read(
    packed: bundle.Bundle, state: Path
) -> None:
    conversation(packed, state)
    cache = state / "agent" / packed.digest / "agent" / "__pycache__"
    cache.mkdir(parents=True)
    for name in ("main", "__init__"):
        (cache / f"{name}.{sys.implementation.cache_tag}.pyc").write_bytes(b"cut short")
    assert conversation(packed, state) == ["MARK OK", "HELLO"]
    shutil.rmtree(state)
    conversation(packed, state)
    conversation(packed, state)
    assert not list(state.rglob("*.pyc"))


def test_an_agent_of_another_python_is_not_taken(packed: bundle.Bundle, state: Path) -> None:
    conversation(packed, state)
    image = state / "agent" / packed.digest / stub.IMAGE
    digest, _, modules, payload = stub.unseal(image.read_bytes())
    body = marshal.dumps((digest, bytes(4), modules, payload), 2)
    image.write_bytes(_imp.source_hash(0, body) + body)
    assert conversation(packed, state) == ["MARK MISS", "MARK OK", "HELLO"]
