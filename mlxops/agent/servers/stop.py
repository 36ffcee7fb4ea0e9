"""Stop a server that is proven to be this user's, and confirm that it is gone."""

from __future__ import annotations

import signal
import time
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..clock import Deadline, wait_for
from ..errors import NotStopped
from ..ports import process_owner
from ..ports.evidence import Server
from ..procs import Process, Procs, Unobservable, tree
from . import marks
from .drain import in_flight

INT_AFTER = 2 / 3
KILL_WAIT_S = 5.0
RECHECK_S = 1.0
REPORT_INTERVAL_S = 1.0
Say = Callable[[str], None]
Count = Callable[[], Optional[int]]


class StopTarget(NamedTuple):
    """What to stop: the processes to signal first, and all that must be gone in the end, with any
    others that bear the mark."""

    port: int
    bind: str
    first: Tuple[Process, ...]
    processes: Tuple[Process, ...]
    mark: str = ""

    @property
    def pids(self) -> str:
        return ", ".join(str(process.pid) for process in self.first)


def stop_target(servers: Iterable[Server], port: int, bind: str, mark: str = "") -> StopTarget:
    """Signal the servers themselves, not the `uv run` around one: uv dies without stopping its
    child."""
    members = tuple(servers)
    return StopTarget(
        port=port,
        bind=bind,
        first=tuple(s.process for s in members),
        processes=tuple(p for s in members for p in s.processes),
        mark=mark,
    )


def stop(
    procs: Procs,
    target: StopTarget,
    grace_s: float,
    report: Say,
    requests_in_flight: Count = lambda: None,
    must_free_port: bool = True,
) -> None:
    """Send TERM, then INT, then KILL to all processes at the end of `grace_s`. NotStopped unless
    all are gone and, if `must_free_port`, the port is free.

    `requests_in_flight` is for messages only. mlx-openai-server finishes its requests before it
    ends, and INT cuts them off; KILL may leave memory wired on a Mac, so it comes last."""
    group = _ProcessGroup(procs, target)

    def waiting() -> str:
        count = requests_in_flight()
        return "waiting for %s" % in_flight(count) if count else "waiting for it to end"

    group.ask(signal.SIGTERM)
    if not group.gone_within(grace_s * INT_AFTER, report, waiting):
        report("still running after SIGTERM, sending SIGINT")
        group.ask(signal.SIGINT)
        if not group.gone_within(grace_s * (1 - INT_AFTER), report, waiting):
            report("still running after %g s, sending SIGKILL" % grace_s)
            group.kill_all()
    group.prove_gone()
    if must_free_port:
        group.prove_free()


class _ProcessGroup:
    """The processes to stop, including children born meanwhile."""

    def __init__(self, procs: Procs, target: StopTarget) -> None:
        self._procs = procs
        self._target = target
        self._known: Dict[int, Process] = {p.pid: p for p in target.processes}

    def signal(self, processes: Iterable[Process], signum: int) -> None:
        for process in processes:
            if not process_owner.is_own(process):
                raise NotStopped(
                    "cannot signal pid %d, which runs as user %s"
                    % (process.pid, process_owner.user_name(process.uid)),
                    "stop it on the host as its owner",
                    port=self._target.port,
                    pid=process.pid,
                )
            try:
                self._procs.send(process, signum)
            except Unobservable as exc:
                raise NotStopped(
                    "cannot signal pid %d: %s" % (process.pid, exc.reason),
                    "stop it on the host as its owner",
                    port=self._target.port,
                    pid=process.pid,
                ) from exc

    def ask(self, signum: int) -> None:
        """Signal the servers; where they are dead already, those they left behind, who wait for
        nothing else."""
        living, targets = self.living(), {p.pid for p in self._target.first}
        self.signal([p for p in living if p.pid in targets] or living, signum)
        # A stopped process heeds nothing before it continues; then it heeds at once.
        self.signal([p for p in living if p.stopped], signal.SIGCONT)

    def living(self) -> List[Process]:
        """Those of the family that still run, looked up anew."""
        table = self._procs.processes()
        for process in [p for p in self._known.values() if _same(table.get(p.pid), p)]:
            self._known.update(
                {p.pid: p for p in tree(process_owner.own_processes(table), process.pid)[1:]}
            )
        return [table[p.pid] for p in self._known.values() if _same(table.get(p.pid), p)]

    def gone_within(self, seconds: float, say: Say, words: Callable[[], str]) -> bool:
        spoken, last = time.monotonic(), ""

        def gone() -> bool:
            nonlocal spoken, last
            if time.monotonic() - spoken > REPORT_INTERVAL_S:
                spoken, text = time.monotonic(), words()
                if text != last:
                    say(text)
                last = text
            return not self.living()

        return self._wait_for(gone, seconds)

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Like wait_for; intervals grow on platforms where a scan is expensive."""
        return bool(
            wait_for(
                _retry_if_unseen(condition),
                Deadline(seconds),
                max_interval_s=self._procs.max_poll_interval_s,
            )
        )

    def kill_all(self) -> None:
        """Repeat: a child may be forked between scan and kill."""

        def killed() -> bool:
            living = self.living()
            self.signal(living, signal.SIGKILL)
            return not living

        self._wait_for(killed, KILL_WAIT_S)

    def _stray(self) -> bool:
        """Whether a marked process is left outside all known trees; it is added to the known
        ones."""
        table = self._procs.processes()
        strays = {
            p.pid: p
            for p in marks.marked_processes(self._procs, self._target.mark, table)
            if p.pid not in self._known
        }
        self._known.update(strays)
        return bool(strays)

    def prove_gone(self) -> None:
        """Raise NotStopped unless all processes are gone."""
        port = self._target.port
        if self._target.mark and self._stray():
            self.signal(self.living(), signal.SIGTERM)
            if not self._wait_for(lambda: not self.living(), RECHECK_S):
                self.kill_all()
        survivors = [] if self._wait_for(lambda: not self.living(), RECHECK_S) else self.living()
        if survivors:
            pids = ", ".join(str(p.pid) for p in survivors)
            raise NotStopped(
                "pid %s is still running after SIGKILL" % pids, "look at it on the host", port=port
            )

    def prove_free(self) -> None:
        port, bind = self._target.port, self._target.bind
        free = wait_for(
            _retry_if_unseen(lambda: self._procs.free(port, bind)), Deadline(KILL_WAIT_S)
        )
        if not free and not self._procs.free(port, bind):
            raise NotStopped(
                "port %d is still in use by another process" % port,
                "mlxops status %d" % port,
                port=port,
                gone=True,
            )


def _retry_if_unseen(condition: Callable[[], bool]) -> Callable[[], bool]:
    """A failed observation counts as «not yet»: it must not abort a stop halfway."""

    def holds() -> bool:
        try:
            return condition()
        except Unobservable:
            return False

    return holds


def _same(now: Optional[Process], then: Process) -> bool:
    return now is not None and not now.zombie and now.start_time == then.start_time
