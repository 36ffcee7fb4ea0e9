"""Run the command of --notify with the news of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections import deque
from contextlib import suppress
from typing import IO, Any, NamedTuple

from .. import interrupts
from ..agent.errors import Failed
from ..render.format import printable, printable_lines
from .reported import News, lines

NOTIFY_TIMEOUT_S = 30.0
MAX_SUMMARY, MAX_JSON_BYTES, MAX_TEXT = 200, 64 << 10, 1 << 16
MAX_STDERR_BYTES, DRAIN_TIMEOUT_S = 4096, 1.0


class Message(NamedTuple):
    """What the command is given. `exit_code`: of the run, without the outcome of the command."""

    host: str
    command: str
    exit_code: int
    news: list[News]

    @property
    def text(self) -> str:
        return "".join(f"{line[:MAX_TEXT]}\n" for line in lines(self.news))

    @property
    def summary(self) -> str:
        """One line: the host, and what happened."""
        line = f"{printable(self.host)}: {'; '.join(one.label for one in self.news)}"
        return line if len(line) <= MAX_SUMMARY else line[: MAX_SUMMARY - 3] + "..."

    @property
    def document(self) -> str:
        """The news as JSON. What does not fit is counted in `omitted`."""
        rows = [
            {"event": one.event, **one.record, "text": one.line[:MAX_TEXT]} for one in self.news
        ]
        kept = len(rows)
        while kept and len(self._json(rows, kept)) > MAX_JSON_BYTES:
            kept //= 2
        return self._json(rows, kept)

    def _json(self, rows: list[dict[str, Any]], kept: int) -> str:
        document = {
            "schema": 1,
            "host": self.host,
            "command": self.command,
            "exit": self.exit_code,
            "news": rows[:kept],
            "omitted": len(rows) - kept,
        }
        return json.dumps(document)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MLXOPS_HOST": self.host,
            "MLXOPS_SUMMARY": self.summary,
            "MLXOPS_EXIT": str(self.exit_code),
            "MLXOPS_JSON": self.document,
        }


def send(command: str, message: Message, timeout_s: float = NOTIFY_TIMEOUT_S) -> None:
    """Run the command by the shell, with the text on its stdin and the rest in its environment;
    Failed if it does not end with 0 in time. Nothing of the message becomes part of the command.

    Its output is discarded, except the last line of stderr, which an error quotes."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(message.text.encode("utf-8", "backslashreplace"))
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, **message.environment},
                start_new_session=True,
            )
        except OSError as exc:
            raise _failed(f"cannot start: {exc.strerror}") from None
    assert process.stderr is not None
    tail = _Tail(process.stderr)
    try:
        with interrupts.raise_on(1):
            status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise _failed(f"stopped: it ran for more than {timeout_s:.0f} s") from None
    except BaseException:
        _kill(process)
        raise
    if status:
        last = tail.last_line()
        how = f"exit {status}" if status > 0 else f"killed by signal {-status}"
        raise _failed(f"{how}: {last}" if last else how)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it started."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failed(why: str) -> Failed:
    return Failed(f"the --notify command failed ({why})", "run it by hand with a text on stdin")


class _Tail:
    """Reads a stream to its end in the background, and keeps its last bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._chunks = stream, deque[bytes](maxlen=2)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            while chunk := os.read(self._stream.fileno(), MAX_STDERR_BYTES):
                self._chunks.append(chunk)

    def last_line(self) -> str:
        """The last line so far: what the command left running may never close the stream."""
        self._thread.join(DRAIN_TIMEOUT_S)
        text = b"".join(self._chunks).decode("utf-8", "replace").strip()
        return (printable_lines(text, longest=MAX_SUMMARY) or [""])[-1]
