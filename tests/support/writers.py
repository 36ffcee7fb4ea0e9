"""Programs for tests of store and lock that run as separate processes. Runs on Python 3.9 too."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlxops.agent.registry.entries import REQUIRED, Entry, Registry

WHO = {"who": "alice", "from": "mini"}
ROOT = Path(__file__).parents[2]
PRELUDE = """
import os, sys
from mlxops.agent.errors import Locked, MlxopsError
from mlxops.agent.registry.lock import FileLock
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.registry.store import Store

path, name = sys.argv[1:3]
store = Store(path, {"who": name, "from": "mini"})
"""
# On a slow disk a writer may time out with an error: that is not a lost edit.
ADD = """
def add(number):
    entry = Entry("%s-%d" % (name, number), dict(REQUIRED, made_by=name))
    try:
        store.edit("add", lambda now: now.put(entry))
    except Locked:
        add(number)

for number in range(int(sys.argv[3])):
    add(number)
"""
COUNT = """
def more(now):
    count = now.extra.get("count", 0) + 1
    entry = now.entries.get("shared") or Entry("shared", dict(REQUIRED))
    return now.put(entry.with_fields(count=entry.fields.get("count", 0) + 1))

for number in range(int(sys.argv[3])):
    store.edit("count", more)
"""
HOLD = """
lock = FileLock(path)
lock.acquire({"who": name, "from": "mini", "since": "noon", "why": "a test"}, 0)
print("held", flush=True)
sys.stdin.readline()
"""
HOLD_WITH_CHILD = HOLD.replace(
    "print(",
    "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\nprint(child.pid, flush=True)\n"
    "print(",
)
# Describes itself a moment after it has the lock, as on a busy machine.
HOLD_BEFORE_DESCRIBING = """
import time
lock = FileLock(path)
lock.take(0)
print("held", flush=True)
time.sleep(0.15)
lock.describe({"who": name, "from": "mini", "since": "noon", "why": "a test", "pid": os.getpid()})
sys.stdin.readline()
"""
# Prints a line as soon as it tries to take the lock.
ADD_WHEN_FREE = """
told = []
def hear(event, arguments):
    if event == "fcntl.flock" and not told:
        told.append(event)
        print("waiting", flush=True)

sys.addaudithook(hear)
print(*store.edit("add", lambda now: now.put(Entry(name, dict(REQUIRED)))).entries)
"""
# Takes the lock again as soon as it is free, and prints a counter while it holds it.
GREEDY = """
import itertools, time
for number in itertools.count():
    lock = FileLock(path, turn=True)
    lock.acquire({"round": number}, 60)
    if number == 0:
        print("holds", flush=True)
    time.sleep(0.02)
    lock.release()
"""
TALKATIVE = """
import itertools
lock = FileLock(path)
lock.acquire({"who": name, "why": ""}, 0)
print("held", flush=True)
for number in itertools.count():
    lock.describe({"who": name, "why": "x" * (number % 7 * 300)})
"""
WAIT = """
print("waits", flush=True)
FileLock(path, turn=True).acquire({"who": name}, 60)
"""
# The job of a load, held for the lifetime of the process.
LOAD = """
from mlxops.agent.jobs.job import Job
from mlxops.agent.wire.client import ClientLink
held = {"who": name, "from": "mini", "why": "load a 8100", "port": 8100}
held["again"] = "mlxops load a 8100"
client = ClientLink(os.open(os.devnull, os.O_WRONLY), sys.stdin.buffer)
with Job(client, path, os.path.dirname(path), held, True) as job:
    job.reserve(["a"])
    job.phase("stop", "stopping")
    print("stops", flush=True)
    sys.stdin.readline()
"""
# For a kill in the middle of a write: the first sync of the new file's content never returns.
STUCK_IN_WRITE = """
import time
def stuck(fd):
    print("writing", flush=True)
    time.sleep(600)
Store(path, {"who": name}, stuck).edit("add", lambda now: now.put(Entry(name, dict(REQUIRED))))
"""
SMALL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    store.edit("grow", lambda now: now.put(Entry(name, dict(REQUIRED, note="x" * 100000))))
    print("written")
except MlxopsError as exc:
    print(exc.kind, exc.message)
"""


def start(body: str, *arguments: Any) -> Any:
    argv = [sys.executable, "-c", PRELUDE + body, *map(str, arguments)]
    return subprocess.Popen(
        argv,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def running(body: str, *arguments: Any) -> Iterator[Any]:
    """A program that has printed its first line, stored as `said`; killed and reaped at the end."""
    child = start(body, *arguments)
    try:
        child.said = child.stdout.readline().strip()
        assert child.said, child.communicate()[1]
        yield child
    finally:
        child.kill()
        child.communicate()


def ended(child: Any) -> str:
    """Its output, after it has ended successfully."""
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return str(out)


def adding(name: str, **fields: Any) -> Callable[[Registry], Registry]:
    """An edit that adds an entry."""
    return lambda now: now.put(Entry(name, {**REQUIRED, **fields}))


def reads(path: Path) -> bytes:
    return path.read_bytes() if os.path.exists(path) else b""
