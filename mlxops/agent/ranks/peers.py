"""The agent on another host, over this host's own ssh: the same bytes and the same wire as between
client and agent."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import threading
import time
from collections import deque
from functools import partial
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Sequence,
    Tuple,
)

from ..background import BackgroundCall
from ..clock import Deadline
from ..errors import Failed, HostUnreachable, LinkLost, from_wire
from ..programs.find import search_path
from ..site import Site
from ..wire import codec as wire
from ..wire.bootstrap import LAUNCH_COMMAND, Bundle, own_bundle
from .ranks import Rank, RankState

# No question to anybody, no host key that is not known: who logs in here logged in there before.
OPTIONS = (
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "StrictHostKeyChecking=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ClearAllForwardings=yes",
    "-o",
    "ServerAliveInterval=5",
    "-o",
    "ServerAliveCountMax=3",
    # What is killed when it is left must carry nobody else's session.
    "-o",
    "ControlMaster=no",
)
LOOK_TIMEOUT_S, EXIT_TIMEOUT_S = 20.0, 5.0
# A login may be slow, and talk. One that goes on for so long does not come to its end.
HANDSHAKE_TIMEOUT_S = 30.0
MAX_STDERR_BYTES = 1 << 16


class RemoteAgent:
    """One request to the agent on a host. Use as a context: at its end the agent there ends too."""

    def __init__(self, site: Site, host: str, args: Mapping[str, Any]) -> None:
        import shlex

        self.host = host
        self.heard = time.monotonic()
        self._bundle: Bundle = own_bundle()
        self._marker = os.urandom(16).hex()
        self._lines: Deque[bytes] = deque()
        self._cut = wire.Lines()
        self._reading = threading.Lock()
        self._said, self._hears = b"", True
        ssh = shutil.which("ssh", path=search_path()) or "ssh"
        try:
            self._child = subprocess.Popen(
                [ssh, *OPTIONS, "--", host, "exec " + shlex.join(LAUNCH_COMMAND)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            raise Failed(
                "cannot start ssh: %s" % exc, "install OpenSSH's client on the host"
            ) from exc
        request = {
            "protocol": wire.PROTOCOL,
            "verb": "rank",
            "args": dict(args),
            "site": dict(site.raw),
        }
        self.send(
            self._bundle.handshake(
                self._marker, site.raw["state_dir"], json.dumps(request).encode()
            )
        )

    def __enter__(self) -> RemoteAgent:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.kill() if kind else self.close()

    def kill(self) -> None:
        """Do not wait for a host that may never answer: the agent there ends when its link does."""
        self._child.kill()
        self.close()

    def close(self) -> None:
        """End of input: the agent there ends by itself, and what waits at its gate with it."""
        assert self._child.stdin and self._child.stdout and self._child.stderr
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        # Whoever reads in another thread comes to the end now; closed under it, the number may be
        # another file's.
        with self._reading:
            self._child.stdout.close()
            self._child.stderr.close()

    def send(self, words: bytes) -> None:
        """Words to the agent; that they do not arrive shows in what comes back."""
        assert self._child.stdin
        try:
            self._child.stdin.write(words)
            self._child.stdin.flush()
        except BrokenPipeError:
            # It ends by itself, and says why.
            return
        except OSError:
            self._child.kill()

    def handshake(self, deadline: Deadline) -> None:
        """Pass over what the login prints, and bring the agent there if it is not."""
        while True:
            _, found, said = self._line(deadline).partition(self._marker.encode() + b" ")
            if found and said == b"OK":
                return
            if found and said == b"MISS":
                self.send(self._bundle.frames())
            elif found:
                raise self._refused(said.decode("utf-8", "replace"))

    def _refused(self, said: str) -> Failed:
        """The stub's refusal there."""
        word, _, text = said.partition(" ")
        if word == "OLD":
            text = "the agent needs Python 3.9 or later, there is %s" % text
        return Failed(
            "%s: %s" % (self.host, text),
            "put that right there, as the login of ssh",
            peer=self.host,
        )

    def record(self, deadline: Deadline) -> Dict[str, Any]:
        """The next event, or {"result"}; the error that the agent there ended with is raised."""
        while True:
            record = wire.decode(self._line(deadline))
            if "error" in record:
                error = from_wire(record["error"])
                error.message = "%s: %s" % (self.host, error.message)
                raise error
            if record.get("event") != "ping":
                return record
            self.send(wire.PING)

    def result(self, deadline: Deadline) -> Any:
        while True:
            record = self.record(deadline)
            if "result" in record:
                return record["result"]

    def _line(self, deadline: Deadline) -> bytes:
        while not self._lines:
            if deadline.passed:
                raise LinkLost("%s did not answer in time" % self.host, self._hint, peer=self.host)
            with self._reading:
                self._lines.extend(self._cut.feed(self._chunk(min(deadline.left(), 1.0))))
        return self._lines.popleft()

    def _chunk(self, seconds: float) -> bytes:
        """What came; nothing after so long."""
        out, err = self._child.stdout, self._child.stderr
        if out is None or err is None or out.closed:
            raise LinkLost("the call to %s is over" % self.host)
        ready = select.select([out, *([err] if self._hears else [])], [], [], seconds)[0]
        if err in ready:
            said = os.read(err.fileno(), 1 << 16)
            self._said, self._hears = (self._said + said)[-MAX_STDERR_BYTES:], bool(said)
        chunk = os.read(out.fileno(), 1 << 16) if out in ready else None
        self.heard = time.monotonic() if chunk else self.heard
        if chunk == b"":
            raise HostUnreachable(
                "%s cannot be asked: %s" % (self.host, self._why()), self._hint, peer=self.host
            )
        return chunk or b""

    @property
    def _hint(self) -> str:
        return (
            "see that this works on the host, without a question: ssh -o BatchMode=yes %s true"
            % self.host
        )

    def _why(self) -> str:
        """The last thing ssh said: all of it is there once it ended."""
        err = self._child.stderr
        # Not for long: a connection that ssh shares with others may hold it open.
        if err and self._hears and select.select([err], [], [], 0.5)[0]:
            self._said += os.read(err.fileno(), MAX_STDERR_BYTES)
        lines = self._said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "the connection ended"


class PendingReply(NamedTuple):
    """A question under way; without a call ssh could not be started."""

    call: Optional[RemoteAgent]
    answer: BackgroundCall[Any]

    def silent(self, since: float, seconds: float) -> bool:
        """Whether nothing was heard for so long, from a moment of the monotonic clock on."""
        return time.monotonic() - max(since, self.call.heard if self.call else 0.0) > seconds


@contextlib.contextmanager
def ask_all(
    site: Site, asked: Sequence[Tuple[str, Mapping[str, Any]]], seconds: float
) -> Iterator[List[PendingReply]]:
    """Hosts, each with its question, asked all at once; an answer raises what hinders it, within
    about `seconds`. Who has not answered by the end is left."""
    with contextlib.ExitStack() as stack:
        yield [_ask(stack, site, host, args, Deadline(seconds)) for host, args in asked]


def _ask(
    stack: contextlib.ExitStack, site: Site, host: str, args: Mapping[str, Any], deadline: Deadline
) -> PendingReply:
    try:
        call = RemoteAgent(site, host, args)
    except Exception as exc:  # whatever it is, it hinders this host's answer and no other's
        return PendingReply(None, BackgroundCall(partial(_fail, exc)))
    stack.callback(call.kill)
    return PendingReply(call, BackgroundCall(partial(_answer, call, deadline)))


def _answer(call: RemoteAgent, deadline: Deadline) -> Any:
    call.handshake(Deadline(min(HANDSHAKE_TIMEOUT_S, deadline.left())))
    return call.result(deadline)


def _fail(exc: Exception) -> NoReturn:
    raise exc


def rank_states(
    site: Site, ranks: Sequence[Rank], check: Callable[[], None]
) -> Tuple[RankState, ...]:
    """Whether these ranks live, all hosts asked at once. `check` is called all the while, and may
    raise."""
    with ask_all(site, [(rank.host, _look(rank)) for rank in ranks], LOOK_TIMEOUT_S) as asked:
        for one in asked:
            one.answer.wait_until_done(check)
        return tuple(_seen(rank, one.answer) for rank, one in zip(ranks, asked))


def _look(rank: Rank) -> Dict[str, Any]:
    return {"do": "look", "pid": rank.pid, "start_time": rank.start_time}


def _seen(rank: Rank, answer: BackgroundCall[Any]) -> RankState:
    try:
        return RankState(rank, bool(answer.value()["alive"]))
    except Exception as exc:  # whatever it is, the rank was not seen
        return RankState(rank, None, str(exc) or type(exc).__name__)
