"""The client's end of a call, on a link with prepared output."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlxops import session
from mlxops.bundle import Bundle
from mlxops.hosts.files import Host, Ssh
from mlxops.interrupts import InterruptState
from mlxops.render.progress import Progress

HOST = Host("studio", Path("studio.toml"), "ssh", Ssh("studio"), None, {"state_dir": "~/.mlxops"})
PACKED = Bundle(b"packed", "0" * 64)


class Scripted:
    """These chunks after the stub's OK; then the end."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = [*chunks]
        self.marker = b""

    def send(self, payload: bytes) -> None:
        return

    def receive(self, timeout: float) -> bytes | None:
        if self.marker:
            marker, self.marker = self.marker, b""
            return b"noise" + marker + b" OK\n"
        return self._chunks.pop(0) if self._chunks else b""

    def stderr_tail(self) -> str:
        return ""

    def exit_status(self) -> int | None:
        return None

    def close(self) -> None:
        return


def converse(chunks: Sequence[bytes]) -> dict[str, Any]:
    """The outcome of a call that receives these chunks, with its events rendered as on a
    terminal."""
    link, shown = Scripted(chunks), io.TextIOWrapper(io.BytesIO(), "utf-8")
    progress = Progress(shown, terminal=True, quiet=False, verbose=True)
    talk = session.HostCall(HOST, link, PACKED, progress, InterruptState())
    link.marker = talk._conversation.marker.encode()
    return talk.run(b"{}")
