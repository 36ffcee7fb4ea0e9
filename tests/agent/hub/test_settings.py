"""Token files that hold no token."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxops.agent.hub.settings import token_fault
from mlxops.agent.site import HubSettings


@pytest.mark.parametrize("content", [b"hf_a\nX-Evil: 1", b"hf_a\0b", b"\xff\xfe", b"hf_\x1b[31m"])
def test_content_that_no_header_can_carry(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    assert token_fault(HubSettings(token_file=str(path))).endswith("no token: one line of ASCII")
    path.write_bytes(b"hf_abc\n")
    assert token_fault(HubSettings(token_file=str(path))) == ""


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"hf_a")
    os.truncate(path, 64 << 30)
    assert token_fault(HubSettings(token_file=str(path))).endswith("no token: one line of ASCII")
