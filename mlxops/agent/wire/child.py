"""A child process spoken to through pipes: no write and no read waits while its stderr fills up."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Optional, Sequence

STDERR_LINES = 100
MAX_LINE_BYTES, MAX_TAIL_BYTES = 4096, 16 << 10
# Chunks of stderr read at once: a child that never stops printing there must not keep the reader
# from its clock.
MAX_READS = 16
CHUNK = 256 << 10
CHECK_INTERVAL_S = 0.1


class Tail:
    """The last lines of a stream of chunks."""

    def __init__(self, lines: int = STDERR_LINES) -> None:
        self._lines: Deque[bytes] = deque(maxlen=lines)
        self._open = b""

    def feed(self, chunk: bytes) -> None:
        *whole, rest = (self._open + chunk).split(b"\n")
        self._lines.extend(line[-MAX_LINE_BYTES:] for line in whole[-STDERR_LINES:])
        self._open = rest[-MAX_LINE_BYTES:]

    def text(self) -> str:
        lines = [*self._lines, self._open] if self._open else [*self._lines]
        return b"\n".join(lines)[-MAX_TAIL_BYTES:].decode("utf-8", "replace").strip()


class ChildPipes:
    """A child in a session of its own: Ctrl-C at the terminal does not reach it. One thread may
    read, another write or end it."""

    def __init__(self, argv: Sequence[str], **options: Any) -> None:
        """Start it; OSError or ValueError if that fails. `options` are Popen's."""
        self._child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            **options,
        )
        assert self._child.stdin and self._child.stdout and self._child.stderr
        self._pipes = (self._child.stdin, self._child.stdout, self._child.stderr)
        self._stdin, self._stdout, self._stderr = (pipe.fileno() for pipe in self._pipes)
        self._open = {self._stdin, self._stdout, self._stderr}
        self._tail = Tail()
        # A pipe closed under a reader or writer in another thread: its number may be a new file's.
        self._reading, self._writing = threading.Lock(), threading.Lock()
        os.set_blocking(self._stdin, False)

    @property
    def pid(self) -> int:
        return self._child.pid

    def write(self, payload: bytes, check: Callable[[], None] = lambda: None) -> None:
        """All of it to the child's stdin; OSError when it takes no more. `check` is called while a
        child that does not read holds it up, and may raise."""
        rest = memoryview(payload)
        with self._writing:
            while rest:
                check()
                if self._stdin not in self._open:
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
                readable, writable, _ = select.select(
                    self._open & {self._stderr}, [self._stdin], [], CHECK_INTERVAL_S
                )
                if readable:
                    self._drain()
                if writable:
                    rest = rest[self._write(rest[:CHUNK]) :]

    def _write(self, part: memoryview) -> int:
        try:
            return os.write(self._stdin, part)
        except BlockingIOError:
            return 0

    def read(self, seconds: float) -> Optional[bytes]:
        """Some bytes of its stdout; None when none came for so long, b"" at the end."""
        deadline = time.monotonic() + seconds
        with self._reading:
            while self._stdout in self._open:
                left = max(0.0, deadline - time.monotonic())
                readable = select.select(self._open - {self._stdin}, [], [], left)[0]
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

    def stderr_tail(self, seconds: float = 0.0) -> str:
        """The last lines it wrote to stderr, once nothing more came for so long."""
        with self._reading:
            for _ in range(MAX_READS):
                stderr = self._open & {self._stderr}
                if not stderr or not select.select(stderr, [], [], seconds)[0]:
                    break
                self._drain()
        return self._tail.text()

    def exit_status(self, seconds: Optional[float] = None) -> Optional[int]:
        """Its exit status, negative for a signal; None if it runs longer than that."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        self._child.kill()

    def end(self, seconds: float) -> None:
        """Close its stdin, the request to leave, and kill it if it stays longer than that. Its
        output can be read until `close`."""
        self._close_stdin()
        if self.exit_status(seconds) is None:
            self.kill()
            self.exit_status()

    def _close_stdin(self) -> None:
        with self._writing:
            self._open.discard(self._stdin)
            self._pipes[0].close()

    def close(self) -> None:
        """Close its pipes. The child may go on."""
        self._close_stdin()
        with self._reading:
            self._open.clear()
            for pipe in self._pipes:
                pipe.close()
