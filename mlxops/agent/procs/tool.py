"""Run a system tool with a time limit; its complete output, or Unobservable."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Sequence

from ..errors import Unobservable

if TYPE_CHECKING:
    import subprocess

# Fixed, so that columns, month names and time zone do not depend on who asks.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC0", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
REAP_TIMEOUT_S = 1.0


class ToolOutput(NamedTuple):
    code: int
    out: str
    err: str

    def error_line(self) -> str:
        """The failure in one line."""
        return self.err.strip().partition("\n")[0] or "exit status %d" % self.code


def run_tool(argv: Sequence[str], timeout_s: float) -> ToolOutput:
    """Run a tool to its end. Raises Unobservable if it cannot be started, takes too long, or dies
    of a signal."""
    import subprocess

    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as exc:
        raise Unobservable("%s: %s" % (argv[0], exc.strerror)) from exc
    with child:
        out, err = _streams(child, argv[0], timeout_s)
    if child.returncode < 0:
        raise Unobservable("%s was killed by signal %d" % (argv[0], -child.returncode))
    return ToolOutput(child.returncode, _text(out), _text(err))


def _streams(child: subprocess.Popen[bytes], name: str, timeout_s: float) -> Sequence[bytes]:
    import subprocess

    try:
        return child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _abandon(child)
        raise Unobservable("%s did not answer within %g s" % (name, timeout_s)) from None


def _abandon(child: subprocess.Popen[bytes]) -> None:
    """Kill the tool and its children; do not wait for one that hangs in the kernel."""
    import signal
    import subprocess

    try:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate(timeout=REAP_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        pass


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
