"""One run of the real agent, with a fault or without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxops.agent.wire import PROTOCOL, frame

SABOTEUR = Path(__file__).with_name("saboteur.py")
LONGEST_S = 60.0
KILLING = ("kill", "torn")


@dataclass(frozen=True)
class Step:
    """The `nth` time that the agent does `event` by way of `place`. A look changes nothing."""

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
    """How a run ended. `record` is its last one, None without; `status` the process's.

    `struck`: the blow fell. `cut`: it fell on the line to the client, who hears nothing more then.
    """

    record: dict[str, Any] | None
    status: int
    stderr: str
    steps: tuple[Step, ...]
    struck: bool
    cut: bool

    @property
    def result(self) -> Any:
        return (self.record or {}).get("result")

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = (self.record or {}).get("error") or {}
        return error


def request(site: Mapping[str, Any], verb: str, args: Mapping[str, Any]) -> bytes:
    who = {"user": "tester", "from": "faults"}
    return json.dumps({"protocol": PROTOCOL, "verb": verb, "args": args, "site": site, "who": who}).encode()


def watched(log: Path, blow: Blow | None) -> dict[str, Any]:
    """The saboteur's plan: strike, or without a blow only write down every step."""
    step = {"event": blow.step.event, "place": blow.step.place, "nth": blow.step.nth} if blow else None
    return {"log": str(log), "step": step, "fault": blow.fault if blow else None}


def call(home: Path, request: bytes, plan: Mapping[str, Any] | None = None) -> Ended:
    """Run the agent that lies in `home`, beside the saboteur, to its end, or to the blow."""
    argv = [sys.executable, "-I", "-S", "-B", str(home / SABOTEUR.name), str(home), json.dumps(plan)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, start_new_session=True, **pipes) as child:
        stdout, stderr = _talk(child, frame(request))
    return _ended(child.returncode, stdout, stderr, Path(plan["log"]) if plan else None)


def _talk(child: subprocess.Popen[bytes], request: bytes) -> tuple[bytes, bytes]:
    """Everything it says; stdin stays open meanwhile, since its end would mean that the client is gone."""
    assert child.stdin and child.stdout and child.stderr
    child.stdin.write(request)
    child.stdin.flush()
    deadline = _Alarm(child.pid)
    stdout, stderr = child.stdout.read(), child.stderr.read()
    child.wait()
    deadline.off()
    return stdout, stderr


class _Alarm:
    """Ends a run that hangs."""

    def __init__(self, pid: int) -> None:
        import threading

        self._timer = threading.Timer(LONGEST_S, os.kill, (pid, signal.SIGKILL))
        self._timer.start()

    def off(self) -> None:
        self._timer.cancel()


def _ended(status: int, stdout: bytes, stderr: bytes, log: Path | None) -> Ended:
    records = [json.loads(line) for line in stdout.splitlines(keepends=True) if line.endswith(b"\n")]
    last = records[-1] if records and "event" not in records[-1] else None
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log else []
    steps = tuple(Step(x["event"], x["place"], x["nth"], x["look"]) for x in lines if "look" in x)
    blows = [line for line in lines if "struck" in line]
    return Ended(last, status, stderr.decode(errors="replace"), steps, bool(blows), any(line["wire"] for line in blows))
