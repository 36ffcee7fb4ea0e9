"""One run of the real agent, with or without a fault."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mlxops.agent.wire.codec import PING, PING_INTERVAL_S, frame

INSIDE = [Path(__file__).with_name(name) for name in ("nursery.py", "saboteur.py", "strikes.py")]
LONGEST_S = 60.0
KILLING = ("kill", "torn")


@dataclass(frozen=True)
class Step:
    """The `nth` time that the agent does `event` at `place`. A look changes nothing."""

    event: str
    place: str
    nth: int
    look: bool

    def __str__(self) -> str:
        return f"{self.event} #{self.nth} at {self.place.split(' < ')[0]}"


@dataclass(frozen=True)
class Blow:
    """A fault at a step; see saboteur for the kinds."""

    step: Step
    fault: str

    def __str__(self) -> str:
        return f"{self.fault} at {self.step} ({self.step.place})"


@dataclass(frozen=True)
class Ended:
    """How a run ended. `record` is its last record, None without one; `events` are all records
    before it; `status` is that of wait(2).

    `struck`: the fault was injected. `cut`: it hit the link to the client, which receives nothing
    after it."""

    record: dict[str, Any] | None
    status: int
    stderr: str
    steps: tuple[Step, ...]
    struck: bool
    cut: bool
    events: tuple[dict[str, Any], ...] = ()

    @property
    def result(self) -> Any:
        return (self.record or {}).get("result")

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = (self.record or {}).get("error") or {}
        return error


def watched(log: Path, blow: Blow | None) -> dict[str, Any]:
    """The saboteur's plan: inject the fault, or without one record every step."""
    step = (
        {"event": blow.step.event, "place": blow.step.place, "nth": blow.step.nth} if blow else None
    )
    return {"log": str(log), "step": step, "fault": blow.fault if blow else None}


class Nursery:
    """Runs the agent in `home` under `python`, one call after another; `env` is added to a bare
    environment."""

    def __init__(self, home: Path, python: str, env: Mapping[str, str]) -> None:
        self._orders, theirs = socket.socketpair()
        argv = [python, "-S", "-B", str(home / INSIDE[0].name), str(home), str(theirs.fileno())]
        bare = {"PATH": os.defpath, **env}
        self._process = subprocess.Popen(
            argv, pass_fds=[theirs.fileno()], env=bare, cwd=home, start_new_session=True
        )
        theirs.close()
        self._answers = self._orders.makefile("rb")

    def call(self, request: bytes, plan: Mapping[str, Any] | None = None) -> Ended:
        """Run the agent to its end, or to the fault."""
        (stdin, ours), (said, stdout), (warned, stderr) = os.pipe(), os.pipe(), os.pipe()
        socket.send_fds(self._orders, [json.dumps(plan).encode()], [stdin, stdout, stderr])
        for end in (stdin, stdout, stderr):
            os.close(end)
        with (
            open(ours, "wb", buffering=0) as line,
            open(said, "rb") as out,
            open(warned, "rb") as err,
            self._bounded(),
        ):
            # The link stays open, because its end would mean that the client is gone. Input that a
            # dead agent did not read is dropped, or closing the link would try to write it again.
            texts = _talk(line, request, out, err)
        status = int(self._answers.readline())
        return _ended(status, *texts, Path(plan["log"]) if plan else None)

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """End a run that hangs."""
        timer = threading.Timer(LONGEST_S, os.kill, (int(self._answers.readline()), signal.SIGKILL))
        timer.start()
        yield
        timer.cancel()

    def end(self) -> None:
        self._answers.close()
        self._orders.close()
        self._process.wait()


def _talk(line: BinaryIO, request: bytes, out: BinaryIO, err: BinaryIO) -> tuple[bytes, bytes]:
    """Read its output for the client and for people, and send pings as a client does."""
    line.write(frame(request))
    said: dict[BinaryIO, bytes] = {out: b"", err: b""}
    streams, pinged = [out, err], time.monotonic()
    while streams:
        ready = select.select(streams, [], [], PING_INTERVAL_S)[0]
        for stream in ready:
            chunk = os.read(stream.fileno(), 1 << 16)
            said[stream] += chunk
            streams = streams if chunk else [other for other in streams if other is not stream]
        if time.monotonic() - pinged >= PING_INTERVAL_S:
            _ping(line)
            pinged = time.monotonic()
    return said[out], said[err]


def _ping(line: BinaryIO) -> None:
    with suppress(BrokenPipeError):
        line.write(PING)


def _ended(status: int, stdout: bytes, stderr: bytes, log: Path | None) -> Ended:
    records = [
        json.loads(line) for line in stdout.splitlines(keepends=True) if line.endswith(b"\n")
    ]
    last = records.pop() if records and "event" not in records[-1] else None
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log else []
    steps = tuple(Step(x["event"], x["place"], x["nth"], x["look"]) for x in lines if "look" in x)
    blows = [line for line in lines if "struck" in line]
    cut = any(line["wire"] for line in blows)
    return Ended(
        last, status, stderr.decode(errors="replace"), steps, bool(blows), cut, tuple(records)
    )
