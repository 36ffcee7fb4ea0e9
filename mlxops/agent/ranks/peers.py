"""The agent on another host, through this host's ssh: the same protocol as between client and
agent."""

from __future__ import annotations

import contextlib
import shutil
import time
from functools import partial
from typing import (
    Any,
    Callable,
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
from ..errors import Failed, HostUnreachable, LinkLost, MlxopsError
from ..programs.find import search_path
from ..site import Site
from ..wire.bootstrap import LAUNCH_COMMAND
from ..wire.child_agent import EXIT_TIMEOUT_S, ChildAgent
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
LOOK_TIMEOUT_S = 20.0
# A login may be slow and print a lot.
HANDSHAKE_TIMEOUT_S = 30.0


class RemoteAgent(ChildAgent):
    """One request to the agent on a host. Use as a context: at its end the agent there ends too."""

    def __init__(self, site: Site, host: str, args: Mapping[str, Any]) -> None:
        import shlex

        self.host = host
        ssh = shutil.which("ssh", path=search_path()) or "ssh"
        argv = [ssh, *OPTIONS, "--", host, "exec " + shlex.join(LAUNCH_COMMAND)]
        try:
            super().__init__(argv, {"verb": "rank", "args": dict(args), "site": dict(site.raw)})
        except OSError as exc:
            raise Failed(
                "cannot start ssh: %s" % exc, "install OpenSSH's client on the host"
            ) from exc

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

    def _stub_error(self, word: str, text: str) -> Failed:
        if word == "OLD":
            text = "the agent needs Python 3.9 or later; this is Python %s" % text
        return Failed(
            "%s: %s" % (self.host, text),
            "fix it on that host, as the user ssh logs in with",
            peer=self.host,
        )

    def _silence_error(self) -> LinkLost:
        return LinkLost("%s did not answer in time" % self.host, self._hint, peer=self.host)

    def _end_error(self, last_line: str) -> HostUnreachable:
        why = last_line or "the connection ended"
        return HostUnreachable("cannot reach %s: %s" % (self.host, why), self._hint, peer=self.host)

    def _named(self, error: MlxopsError) -> MlxopsError:
        error.message = "%s: %s" % (self.host, error.message)
        return error

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
