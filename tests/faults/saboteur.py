"""Inject a fault at one step of the agent, from inside its process. Standard library, Python 3.9.

The plan:
  log     the file that receives every step as a JSON line, and {"struck": true, "wire": …} just
          before the fault
  step    null to record only, else {"event", "place", "nth"} as in the log of an earlier run
  fault   "kill" (-9), "torn" (half of a write, then kill), the name of an errno or of an exception
          (raised once), "full" or "readonly" (ENOSPC or EROFS from here on), or "clock" with the
          seconds by which it jumps

Steps come from the interpreter's audit events, so new code is covered automatically. Calls without
an audit event (writes, fsync, pidfd signals, sends) are wrapped. The place of a step is the call
path through the agent's source, which does not depend on how many loop iterations came before.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from strikes import LASTING, endure, strike  # type: ignore[import-not-found]

ROOMS = ("open", "os", "fcntl", "subprocess", "socket", "shutil", "signal", "tempfile")
# These neither change nor wait for anything; all other steps are effects or looks.
IDLE = ("socket.__new__", "socket.getaddrinfo", "socket.gethostbyname", "os.putenv", "os.unsetenv")
LOOKS = (
    "open-read",
    "os.listdir",
    "os.scandir",
    "os.walk",
    "os.fwalk",
    "os.getxattr",
    "os.listxattr",
)
# The code that makes up the size of the machine is not a step of the agent.
MADE_UP = "_small"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

os_write = os.write


class Saboteur:
    """Counts the steps of this process, and injects the fault at the planned one."""

    def __init__(self, agent: str, plan: dict[str, Any], wire: int) -> None:
        self._wire = wire
        self._agent = os.path.join(agent, "agent") + os.sep
        self._log = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._step = plan["step"]
        self._fault = plan["fault"]
        self._seen: dict[tuple[str, str], int] = {}
        self._lasting = False
        self._inside = threading.local()

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event.split(".")[0] not in ROOMS or event in IDLE:
            return
        if event == "open" and not (args[2] or 0) & WRITING:
            event = "open-read"
        self.meet(event, args[0] if args else "")

    def meet(self, event: str, about: Any, torn: Callable[[], Any] | None = None) -> None:
        """A step is about to happen; `torn` does half of it."""
        awaited = self._step is None or self._lasting or event == self._step["event"]
        if not awaited or getattr(self._inside, "busy", False):
            return
        self._inside.busy = True
        try:
            place = self._place()
            if place:
                self._count(event, place, about, torn)
        finally:
            self._inside.busy = False

    def _place(self) -> str:
        """The call path from the verb to the current line, without the code that only starts
        threads and verbs."""
        lines: list[str] = []
        frame: FrameType | None = sys._getframe(3)
        while frame is not None:
            code = frame.f_code
            if not lines and code.co_filename.startswith("<frozen importlib"):
                return ""  # the search for a module belongs to Python
            if not lines and code.co_name == MADE_UP:
                return ""
            if code.co_filename.startswith(self._agent):
                file = code.co_filename[len(self._agent) :]
                lines.append(f"{file}:{frame.f_lineno}:{code.co_name}")
            frame = frame.f_back
        return " < ".join(lines)

    def _count(self, event: str, place: str, about: Any, torn: Callable[[], Any] | None) -> None:
        nth = self._seen[event, place] = self._seen.get((event, place), 0) + 1
        step = {"event": event, "place": place, "nth": nth}
        if self._step is None:
            self._note({**step, "look": event in LOOKS, "about": str(about)[-60:]})
        elif step == self._step:
            self._note({"struck": True, "wire": about == self._wire})
            self._strike(event, about, torn)
        elif self._lasting:
            endure(self._fault, event, about)

    def _note(self, line: dict[str, Any]) -> None:
        os_write(self._log, json.dumps(line).encode() + b"\n")

    def _strike(self, event: str, about: Any, torn: Callable[[], Any] | None) -> None:
        self._lasting = self._fault in LASTING
        if self._lasting:
            endure(self._fault, event, about)
        else:
            strike(self._fault, about, torn)


def wrap(saboteur: Saboteur) -> None:
    """Make steps of calls that raise no audit event."""
    for owner, name in (
        (os, "write"),
        (os, "pwrite"),
        (os, "fsync"),
        (signal, "pidfd_send_signal"),
    ):
        _wrap_call(saboteur, owner, name)
    for name in ("send", "sendall"):
        _wrap_send(saboteur, name)

    class Watched(io.FileIO):
        def write(self, part: Any) -> int:
            half = bytes(part)[: len(part) // 2]
            saboteur.meet("write", self.name, lambda: io.FileIO.write(self, half))
            return io.FileIO.write(self, part)

    plain = io.open

    def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        if not set(mode) & set("wax+") or buffering == 0:
            return plain(file, mode, buffering, *rest, **more)
        raw = Watched(
            file, mode.replace("b", "").replace("t", ""), closefd=more.pop("closefd", True)
        )
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **more)

    builtins.open = io.open = opened


def _wrap_call(saboteur: Saboteur, owner: Any, name: str) -> None:
    plain = getattr(owner, name, None)
    if plain is None:
        return

    def call(first: Any, *rest: Any) -> Any:
        torn = (
            (lambda: plain(first, rest[0][: len(rest[0]) // 2], *rest[1:]))
            if name in ("write", "pwrite")
            else None
        )
        saboteur.meet(f"{owner.__name__}.{name}", first, torn)
        return plain(first, *rest)

    setattr(owner, name, call)


def _wrap_send(saboteur: Saboteur, name: str) -> None:
    plain = getattr(socket.socket, name)

    def call(self: socket.socket, *args: Any) -> Any:
        saboteur.meet("socket." + name, self.fileno())
        return plain(self, *args)

    setattr(socket.socket, name, call)


def arm(home: str, plan: dict[str, Any], wire: int) -> None:
    """Observe this process from now on."""
    saboteur = Saboteur(home, plan, wire)
    wrap(saboteur)
    sys.addaudithook(saboteur.audit)
