"""Runs the agent once per call, each time in a fork of a process that has its modules loaded.
Standard library only.

That saves the start of an interpreter, half the time of a trial. It is copied next to the package
`agent`, and next to `smallness`, which makes up the size of the machine; argv: that folder, and the
number of a socket. Each message is the saboteur's plan (or null) and carries three descriptors for
the run: stdin, with the request as one frame, stdout and stderr. The answer is its pid, then its
status."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import socket
import sys
from typing import Any

from saboteur import arm  # type: ignore[import-not-found]

ELSEWHERE = ("agent.hub.child", "agent.wire.stub", "agent.wire.unpack", "agent.procs.macos.darwin")
LATE = (
    "fcntl",
    "http.client",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "traceback",
)


def load() -> None:
    """Import what a run may import, so that trials spend no time on it."""
    for name in (*LATE, "smallness"):
        importlib.import_module(name)
    package = importlib.import_module("agent")
    for module in pkgutil.walk_packages(package.__path__, "agent."):
        if module.name not in ELSEWHERE:
            importlib.import_module(module.name)


def run(home: str, plan: dict[str, Any] | None, streams: list[int]) -> None:
    """Do what the stub does for the agent; never returns."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, max(streams) + 1)
    # As in the stub: output of child processes must not reach the wire.
    wire = os.dup(1)
    os.dup2(2, 1)
    source = open(0, "rb")  # noqa: SIM115 - the agent reads it to its end
    request = source.read(int(source.readline()))
    if plan is not None:
        arm(home, plan, wire)
    importlib.import_module("agent.main").run(request, source, wire)


def main() -> None:
    home, orders = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    load()
    while True:
        message, streams, _, _ = socket.recv_fds(orders, 65536, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            run(home, json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        orders.sendall(b"%d\n" % pid)
        orders.sendall(b"%d\n" % os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
