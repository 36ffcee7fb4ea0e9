"""Foreign processes that must never be touched: a listener on a port of the range, and a process
that looks like a server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

# Closes every connection, so that a client does not wait for an answer.
LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print(flush=True)
    while True:
        server.accept()[0].close()
"""


class Strangers:
    """`port` is held by the listener; the command line of the look-alike has a server's words and
    `coveted` in it."""

    def __init__(self, folder: Path, port: int, coveted: int) -> None:
        self.port = port
        listener = [sys.executable, "-IS", "-c", LISTEN, str(port)]
        words = (
            f"read -r forever # mlx-openai-server launch --model-path m --port {coveted} --host "
            f"127.0.0.1"
        )
        alike = [
            "mlx-openai-server-watch",
            "-c",
            words,
            "mlx-openai-server",
            "launch",
            "--port",
            str(coveted),
        ]
        # In a session of their own, so that Ctrl-C reaches the campaign only.
        quiet: dict[str, Any] = {"stdin": subprocess.PIPE, "cwd": folder, "start_new_session": True}
        self._listener = subprocess.Popen(listener, **quiet, stdout=subprocess.PIPE)
        self._alike = subprocess.Popen(alike, executable="/bin/sh", **quiet)
        assert self._listener.stdout
        self._listener.stdout.readline()

    @property
    def pids(self) -> tuple[int, int]:
        return self._listener.pid, self._alike.pid

    def touched(self) -> list[str]:
        """What happened to them, one sentence each."""
        ended = [p for p in (self._listener, self._alike) if p.poll() is not None]
        found = [f"the foreign process {p.pid} ended with {p.returncode}" for p in ended]
        with socket.socket() as knock:
            knock.settimeout(5)
            if knock.connect_ex(("127.0.0.1", self.port)):
                found.append(f"the foreign listener on {self.port} no longer listens")
        return found

    def end(self) -> None:
        for process in (self._listener, self._alike):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX" and os.path.exists(f"/proc/{pid}")
