"""Runs the child process that asks the loader, within its bounds, and makes sure that it ends."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ..clock import Deadline
from ..context import Context
from ..errors import LinkLost
from ..procs import Unobservable
from ..wire.bootstrap import read_part
from ..wire.child import ChildPipes
from ..wire.codec import Lines, decode, encode, frame

# The text of the child; the last part is its main module.
PARTS = ("loader/child_cache.py", "loader/child_tokenizer.py", "loader/child.py")
# Named in the child's command line.
_SHOWN = os.path.join(os.path.dirname(os.path.dirname(str(__spec__.origin))), PARTS[-1])
# Reads the parts from stdin, before the request. Keeps the working directory off sys.path.
_START = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; f = sys.stdin.buffer\n"
    "for n in ('child_cache', 'child_tokenizer', '__main__'):\n"
    " m = sys.modules[n] if n == '__main__' else sys.modules.setdefault(n, type(sys)(n))\n"
    " exec(compile(f.read(int(f.readline())), sys.argv[1] + ':' + n, 'exec'), m.__dict__)"
)
_SECRET = re.compile(r"TOKEN$|_KEY|SECRET|PASSWORD")
TIMEOUT_S = 20.0
_POLL_INTERVAL_S, _MEMORY_INTERVAL_S = 0.1, 0.25
_EXIT_TIMEOUT_S = 1.0
# A tokenizer of 250,000 words takes some 0.5 GB.
MAX_MEMORY_BYTES = 3 << 30
# Ignored by macOS. Libraries reserve more addresses than they use.
_MAX_ADDRESS_BYTES = 24 << 30
MAX_ANSWER_BYTES = 1 << 20
MAX_GREETING_LINES = 20
_MAX_FILE_BYTES = 4 << 20
# Longer than the time limit: for a child whose agent was killed while a library kept it busy.
_ALARM_AFTER_S = 5.0


def child_text() -> List[bytes]:
    return [read_part(name) for name in PARTS]


class Answer(NamedTuple):
    """The fields that the child found. `stage`: the one in which it failed, "" if it finished, and
    `why` it did, such as that it `timed_out`."""

    fields: Mapping[str, Any]
    stage: str = ""
    why: str = ""
    timed_out: bool = False


def environment(host: Mapping[str, str], folder: str) -> Dict[str, str]:
    """The host's environment without its secrets, offline. Files are written into `folder` only, no
    bytecode at all."""
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Copies of a model's own Python.
        "HF_MODULES_CACHE": folder,
        "TMPDIR": folder,
    }
    return {**{k: v for k, v in host.items() if not _SECRET.search(k)}, **quiet}


class _Child:
    """The running child, read line by line."""

    def __init__(self, ctx: Context, pipes: ChildPipes) -> None:
        self._ctx, self._pipes = ctx, pipes
        self._deadline, self._look = Deadline(TIMEOUT_S), Deadline(0)
        self._fields: Dict[str, Any] = {}
        self._stage = "start"
        self._greeting = 0

    def answer(self, request: bytes) -> Answer:
        """The whole output of the child. Interrupted once the client cancelled."""
        lines, why = Lines(MAX_ANSWER_BYTES), ""
        try:
            self._pipes.write(request, self._check_input)
        except BrokenPipeError:
            pass  # a child that has ended already says why on its stderr
        except TimeoutError as exc:
            return Answer({}, self._stage, str(exc), True)
        while not why:
            self._ctx.client.check()
            chunk = self._pipes.read(_POLL_INTERVAL_S)
            if chunk == b"":
                why = self._ending()
                break
            why = self._take(lines, chunk or b"") or self._exceeded()
            if self._stage == "end":
                return Answer(self._fields)
        return Answer(self._fields, self._stage, why, self._deadline.passed)

    def _check_input(self) -> None:
        self._ctx.client.check()
        if self._deadline.passed:
            raise TimeoutError(self._exceeded())

    def _take(self, lines: Lines, chunk: bytes) -> str:
        try:
            for line in lines.feed(chunk):
                self._record(line)
        except LinkLost:
            return "gave an invalid answer"
        return ""

    def _record(self, line: bytes) -> None:
        try:
            record = decode(line)
        except LinkLost:
            # An interpreter may greet before its program starts.
            self._greeting += 1
            if self._fields or self._greeting > MAX_GREETING_LINES:
                raise
            return
        self._stage = "end" if "end" in record else str(record.pop("stage", self._stage))
        self._fields.update(record)

    def _exceeded(self) -> str:
        """The bound that it has exceeded; "" if none."""
        if self._deadline.passed:
            return "took longer than %.0f s" % TIMEOUT_S
        if not self._look.passed:
            return ""
        self._look = Deadline(_MEMORY_INTERVAL_S)
        with suppress(Unobservable):
            looked = self._ctx.procs.some([self._pipes.pid]).values()
            if (self._ctx.procs.footprint(looked) or 0) > MAX_MEMORY_BYTES:
                return "took more than %d GiB of memory" % (MAX_MEMORY_BYTES >> 30)
        return ""

    def _ending(self) -> str:
        status = self._pipes.exit_status(_EXIT_TIMEOUT_S)
        tail = self._pipes.stderr_tail(_POLL_INTERVAL_S).splitlines()
        last = tail[-1].strip()[-300:] if tail else ""
        return "ended with status %s%s" % (status, last and ": " + last)


def ask_child(ctx: Context, python: Sequence[str], request: Mapping[str, Any]) -> Optional[Answer]:
    """The answer of a child under this interpreter; None if it cannot be started."""
    bounds = {
        "alarm_s": TIMEOUT_S + _ALARM_AFTER_S,
        "file_bytes": _MAX_FILE_BYTES,
        "address_bytes": _MAX_ADDRESS_BYTES,
        "data_bytes": MAX_MEMORY_BYTES + (1 << 30),
    }
    text = b"".join(map(frame, child_text())) + encode({**bounds, **request})
    try:
        scratch = TemporaryDirectory(prefix="mlxops-")
    except OSError:
        return None
    with scratch as folder:
        return _ask(ctx, python, text, folder)


def _ask(ctx: Context, python: Sequence[str], request: bytes, folder: str) -> Optional[Answer]:
    try:
        argv = [*python, "-c", _START, _SHOWN]
        pipes = ChildPipes(
            argv, cwd="/", env=environment({**os.environ, **ctx.site.server_env}, folder)
        )
    except (OSError, ValueError):
        return None
    try:
        return _Child(ctx, pipes).answer(request)
    finally:
        pipes.end(_EXIT_TIMEOUT_S)
        pipes.close()
