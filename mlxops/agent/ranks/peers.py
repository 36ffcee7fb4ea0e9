"""The agent on another host, through this host's ssh: the same protocol as between client and
agent."""

from __future__ import annotations

import contextlib
import shutil
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
from ..wire.bootstrap import LAUNCH_COMMAND, own_bundle
from ..wire.child import ChildPipes
from ..wire.conversation import Conversation
from .ranks import Rank, RankState

# No prompts and no unknown host keys.
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
    # ssh is killed after a timeout, so it must not carry other sessions.
    "-o",
    "ControlMaster=no",
)
LOOK_TIMEOUT_S, EXIT_TIMEOUT_S = 20.0, 5.0
# A login may be slow and print a lot.
HANDSHAKE_TIMEOUT_S = 30.0


class RemoteAgent:
    """One request to the agent on a host. Use as a context: at its end the agent there ends too."""

    def __init__(self, site: Site, host: str, args: Mapping[str, Any]) -> None:
        import shlex

        self.host = host
        self.heard = time.monotonic()
        self._conversation = Conversation(own_bundle(), self.send, self._stub_error)
        self._records: Deque[Dict[str, Any]] = deque()
        ssh = shutil.which("ssh", path=search_path()) or "ssh"
        try:
            self._pipes = ChildPipes(
                [ssh, *OPTIONS, "--", host, "exec " + shlex.join(LAUNCH_COMMAND)]
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
        self.send(self._conversation.handshake(site.raw["state_dir"], wire.encode(request)))

    def __enter__(self) -> RemoteAgent:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.kill() if kind else self.close()

    def kill(self) -> None:
        """Do not wait for a host that may never answer: the agent there ends with its link."""
        self._pipes.kill()
        self.close()

    def close(self) -> None:
        """Close the agent's input: it ends, and so does a rank that waits at its gate."""
        self._pipes.end(EXIT_TIMEOUT_S)
        self._pipes.close()

    def send(self, payload: bytes) -> None:
        """Send bytes to the agent. A failure shows in what comes back: ssh ends by itself, or is
        killed here."""
        try:
            self._pipes.write(payload)
        except BrokenPipeError:
            return
        except OSError:
            self._pipes.kill()

    def handshake(self, deadline: Deadline) -> None:
        """Wait until the agent runs there; send it if it is missing."""
        while not self._conversation.started:
            self._read(deadline)

    def _stub_error(self, word: str, text: str) -> Failed:
        if word == "OLD":
            text = "the agent needs Python 3.9 or later; this is Python %s" % text
        return Failed(
            "%s: %s" % (self.host, text),
            "fix it on that host, as the user ssh logs in with",
            peer=self.host,
        )

    def record(self, deadline: Deadline) -> Dict[str, Any]:
        """The next event, or {"result"}; raises the error that the agent there ended with."""
        while True:
            while not self._records:
                self._read(deadline)
            record = self._records.popleft()
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

    def _read(self, deadline: Deadline) -> None:
        """Take in what the host sends within a second."""
        if deadline.passed:
            raise LinkLost("%s did not answer in time" % self.host, self._hint, peer=self.host)
        chunk = self._pipes.read(min(deadline.left(), 1.0))
        if chunk == b"":
            # Not for long: another process may hold ssh's stderr open.
            last = self._pipes.stderr_tail(0.5).rpartition("\n")[2] or "the connection ended"
            raise HostUnreachable(
                "cannot reach %s: %s" % (self.host, last), self._hint, peer=self.host
            )
        if chunk:
            self.heard = time.monotonic()
            self._records.extend(self._conversation.feed(chunk))

    @property
    def _hint(self) -> str:
        return "try this on the host: ssh -o BatchMode=yes %s true" % self.host


class PendingReply(NamedTuple):
    """A request under way; `call` is None if ssh could not be started."""

    call: Optional[RemoteAgent]
    answer: BackgroundCall[Any]

    def silent(self, since: float, seconds: float) -> bool:
        """Whether nothing arrived for so long after `since` on the monotonic clock."""
        return time.monotonic() - max(since, self.call.heard if self.call else 0.0) > seconds


@contextlib.contextmanager
def ask_all(
    site: Site, asked: Sequence[Tuple[str, Mapping[str, Any]]], seconds: float
) -> Iterator[List[PendingReply]]:
    """Ask several hosts at once, each with its own arguments. An answer raises its failure within
    about `seconds`; calls without an answer are killed at the end."""
    with contextlib.ExitStack() as stack:
        yield [_ask(stack, site, host, args, Deadline(seconds)) for host, args in asked]


def _ask(
    stack: contextlib.ExitStack, site: Site, host: str, args: Mapping[str, Any], deadline: Deadline
) -> PendingReply:
    try:
        call = RemoteAgent(site, host, args)
    except Exception as exc:  # only this host's answer fails
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
    """Whether these ranks are alive; all hosts are asked at once. `check` is called meanwhile, and
    may raise."""
    with ask_all(site, [(rank.host, _question(rank)) for rank in ranks], LOOK_TIMEOUT_S) as replies:
        for one in replies:
            one.answer.wait_until_done(check)
        return tuple(_state(rank, one.answer) for rank, one in zip(ranks, replies))


def _question(rank: Rank) -> Dict[str, Any]:
    return {"do": "look", "pid": rank.pid, "start_time": rank.start_time}


def _state(rank: Rank, answer: BackgroundCall[Any]) -> RankState:
    try:
        return RankState(rank, bool(answer.value()["alive"]))
    except Exception as exc:  # the state of this rank is unknown
        return RankState(rank, None, str(exc) or type(exc).__name__)
