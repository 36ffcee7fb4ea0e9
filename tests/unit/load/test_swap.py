"""Where the log of a failed server is, after another server was started on the port."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlxops.agent.load.swap import log_hint


@pytest.mark.parametrize(
    ("content", "starts", "hint"),
    [
        ("died\n", 0, ""),
        ("died\n", 1, "the failed server's log: mlxops logs 8100 --previous"),
        ("died\n", 2, "mlxops status 8100 (the failed server's log was not kept)"),
        ("", 1, "mlxops status 8100 (the failed server's log is empty)"),
        ("", 2, "mlxops status 8100 (the failed server's log is empty)"),
    ],
)
def test_log_hint(tmp_path: Path, content: str, starts: int, hint: str) -> None:
    """`starts`: how often the previous server was started, each with a log of its own."""
    log = tmp_path / "8100.log"
    log.write_text(content)
    with log.open() as opened:  # so that its inode is not used again
        failed = os.fstat(opened.fileno())
        for _ in range(starts):
            log.replace(f"{log}.1")
            log.write_text("serves\n")
        assert log_hint(failed, str(log), 8100) == hint
