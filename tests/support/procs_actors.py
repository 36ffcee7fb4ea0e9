"""Real processes and sockets for the tests of procs. Runs on Python 3.9 too."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WAIT_S = 10.0
NOBODY = 65534
SLEEPER = "import sys, time; print('up', flush=True); time.sleep(600)"
LISTENER = """
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.socket(family)
server.bind((sys.argv[1], 0))
server.listen()
print(server.getsockname()[1], flush=True)
time.sleep(600)
"""


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found, "these tests need " + name
    return found


def eventually(condition: Callable[[], Any]) -> Any:
    """The first true value; fails if there is none in time."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"it did not come true within {WAIT_S:g} s")


@contextlib.contextmanager
def running(code: str, *arguments: str) -> Iterator[Any]:
    """A Python process that has printed its first line, stored as `said`; killed and reaped at the
    end."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        child.said = child.stdout.readline().decode().strip()  # type: ignore[attr-defined]
        yield child
    finally:
        child.kill()
        child.communicate()


@contextlib.contextmanager
def zombie() -> Iterator[int]:
    """The pid of a process that has ended and was not waited for."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        yield pid
    finally:
        os.waitpid(pid, 0)


@contextlib.contextmanager
def listening(address: str) -> Iterator[int]:
    """A port on which this process listens."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        yield server.getsockname()[1]


def unused_port() -> int:
    with listening("127.0.0.1") as port:
        return port


def as_nobody(question: Callable[[], Any]) -> Any:
    """The result of a call in a forked process without root's rights; it must fit JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer = question()
        except BaseException as exc:
            answer = repr(exc)
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = json.loads(stream.read())
    os.waitpid(pid, 0)
    return answer


def script(folder: Path, name: str, body: str) -> str:
    """An executable shell script that replaces a tool."""
    path = folder / name
    path.write_text("#!/bin/sh\n" + body + "\n")
    path.chmod(0o755)
    return str(path)
