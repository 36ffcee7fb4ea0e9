"""The connection to one host, kept open by a thread that makes it again when it is lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..agent.errors import HostKeyRefused, LoginRefused, MlxopsError, Usage
from ..interrupts import InterruptState, cancelled_by
from ..session import call

if TYPE_CHECKING:
    from ..hosts.files import Host

FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 30.0
# Another try would end the same way, and count as an attack where sshd bans addresses.
FINAL = (LoginRefused, HostKeyRefused, Usage)

Record = dict[str, Any]
Call = Callable[["Host", str, Record, Callable[[Record], None]], Record]


class Failure(MlxopsError):
    """An unexpected exception on this machine."""


class _Stopped(Exception):
    """The view has ended."""


class Feed:
    """Reports the records of a host, and each loss of its link, from a thread of its own.

    `on_record` gets each record; `on_lost` an error and the seconds until the next try, None if
    there will be none before retry()."""

    def __init__(
        self,
        host: Host,
        args: Record,
        on_record: Callable[[Record], None],
        on_lost: Callable[[MlxopsError, float | None], None],
        make_call: Call = call,
    ) -> None:
        self._host, self._args, self._call = host, args, make_call
        self._on_record, self._on_lost = on_record, on_lost
        self._over, self._again = threading.Event(), threading.Event()
        self._state = InterruptState()
        self._live = False

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Give the connection up."""
        self._over.set()
        self._state.count = 2
        self._again.set()

    def retry(self) -> None:
        """Try again now."""
        self._again.set()

    def _run(self) -> None:
        with cancelled_by(self._state):
            self._keep_connected()

    def _keep_connected(self) -> None:
        waits = pauses()
        while not self._over.is_set():
            self._live = False
            error = self._connected()
            if error is None:
                return
            if self._live:
                waits = pauses()
            pause = None if isinstance(error, FINAL) else next(waits)
            self._again.clear()
            self._on_lost(error, pause)
            self._again.wait(pause)

    def _connected(self) -> MlxopsError | None:
        """The error that ended one connection; None at the end of the view."""
        try:
            self._call(self._host, "watch", self._args, self._take)
        except _Stopped:
            return None
        except MlxopsError as exc:
            return None if self._over.is_set() else exc
        except KeyboardInterrupt:
            return None
        except Exception as exc:  # the view goes on, and shows it
            return Failure(f"internal error: {type(exc).__name__}: {exc}")
        return Failure(f"{self._host.name} ended the watch")

    def _take(self, record: Record) -> None:
        if self._over.is_set():
            raise _Stopped
        if record.get("event") != "ping":
            self._live = True
            self._on_record(record)


def pauses() -> Iterator[float]:
    """Seconds between tries, each twice as long as the one before, jittered by a tenth: many
    clients of a host that was asleep do not all come at once."""
    pause = FIRST_PAUSE_S
    while True:
        yield pause * random.uniform(0.9, 1.1)
        pause = min(MAX_PAUSE_S, pause * 2)
