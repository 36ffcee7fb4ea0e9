"""This machine itself: the same loader and the same bytes, through a child process instead of
ssh."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping

from .. import bundle
from ..agent.errors import HostUnreachable, LinkLost
from . import CHUNK, MAX_READS, Tail

EXIT_TIMEOUT_S = 1.0


class Local:
    def open(self, python: str | None) -> LocalLink:
        argv = bundle.local_argv(python)
        try:
            # A session of its own: Ctrl-C at the terminal is ours to pass on as a cancel, not the
            # agent's to die of.
            child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=environment(os.environ),
                cwd=working_folder(),
            )
        except OSError as exc:
            hint = "correct python in the host file, or leave it out"
            raise HostUnreachable(
                f"cannot start {argv[0]}: {exc.strerror}", hint, python=argv[0]
            ) from None
        return LocalLink(child)


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Ours, without the parts of PATH that mean the current folder or one below it."""
    kept = [part for part in ours.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    rest = {name: value for name, value in ours.items() if name != "PATH"}
    return {**rest, "PATH": os.pathsep.join(kept)} if kept else rest


def working_folder() -> str:
    """Where the agent runs: as after a login in the home, not wherever the command was typed."""
    home = os.path.expanduser("~")
    return (
        home if home.startswith("/") and os.access(home, os.X_OK) and os.path.isdir(home) else "/"
    )


class LocalLink:
    """The agent as a child process."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdin and child.stdout and child.stderr
        self._child = child
        self._stdin, self._stdout, self._stderr = (
            child.stdin.fileno(),
            child.stdout.fileno(),
            child.stderr.fileno(),
        )
        self._open = {self._stdout, self._stderr}
        self._tail = Tail()
        os.set_blocking(self._stdin, False)

    def send(self, payload: bytes) -> None:
        rest = memoryview(payload)
        while rest:
            # stderr has to drain even while we write, or both sides wait for each other.
            readable, writable, _ = select.select(self._open & {self._stderr}, [self._stdin], [])
            if readable:
                self._drain()
            if writable:
                rest = rest[self._write(rest[:CHUNK]) :]

    def _write(self, part: memoryview) -> int:
        try:
            return os.write(self._stdin, part)
        except BlockingIOError:
            return 0
        except OSError as exc:
            said = f"the agent takes no input any more: {exc.strerror}"
            raise LinkLost(said, stderr=self.stderr_tail()) from None

    def receive(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while self._stdout in self._open:
            left = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select(self._open, [], [], left)
            if self._stderr in readable:
                self._drain()
            if self._stdout in readable:
                return self._read(self._stdout)
            if not readable or not left:
                return None
        return b""

    def _read(self, fd: int) -> bytes:
        chunk = os.read(fd, CHUNK)
        if not chunk:
            self._open.discard(fd)
        return chunk

    def _drain(self) -> None:
        self._tail.feed(self._read(self._stderr))

    def stderr_tail(self) -> str:
        for _ in range(MAX_READS):
            if self._stderr in self._open and select.select([self._stderr], [], [], 0)[0]:
                self._drain()
        return self._tail.text()

    def exit_status(self) -> int | None:
        try:
            status = self._child.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return None
        return status if status >= 0 else None

    def close(self) -> None:
        """Close its stdin and collect it; an agent that has reason to carry on is left to it."""
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream and not stream.closed:
                stream.close()
        self._open.clear()
        self.exit_status()
