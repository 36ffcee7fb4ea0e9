"""Evidence of ports, servers and entries, made up for the tests of diagnosis and plan."""

from __future__ import annotations

from typing import Any

from mlxops.agent.ports.evidence import NO_ANSWER, Expected, HttpAnswer, PortEvidence, Server
from mlxops.agent.procs.facts import Listener, Process
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES, recognise

PATH = "/hub/models--org--a/snapshots/1"
FIELDS = {**REQUIRED, "repo_id": "org/a", "model_id": "org/a", "cache_path": PATH, "port": 8100}
WORKER = "python -c from multiprocessing.spawn import spawn_main"
TRACKER = "python -c from multiprocessing.resource_tracker import main"
OPENAI = f"mlx-openai-server launch --model-path {PATH} --port 8100 --served-model-name jerry"
FROM_HOST_FILE = (
    OPENAI.replace("launch ", "launch --queue-size 9 ") + " --model-type lm --host x --no-log-file"
)
OURS = {"pid": 10, "launched_by": "alice@mini"}
ADOPTED = {"pid": 10, "launched_by": "adopted"}
LIGHT = f"mlx_lm.server --model {PATH} --port 8100"
OPEN = HttpAnswer(True, 200, ("jerry",))
CUT = {
    "who": "alice",
    "from": "mini",
    "why": "load a 8100",
    "since": "now",
    "phase": "launch",
    "entries": ["a"],
    "again": "mlxops load a 8100",
}
JOB = {"who": "alice", "why": "load a 8100", "since": "now"}


def process(pid: int, line: str = "x") -> Process:
    return Process(pid, 1, pid, 501, f"t{pid}", None, None, tuple(line.split()), False)


def server(
    line: str = OPENAI, family: tuple[str, ...] = (WORKER, TRACKER), pid: int = 10
) -> Server:
    own = process(pid, line)
    call = recognise(own.argv, RUNTIMES)
    assert call is not None
    return Server(
        own, call, (own, *(process(pid + 1 + n, text) for n, text in enumerate(family))), own
    )


def listener(pid: int | None, uid: int | None = None) -> Listener:
    return Listener(8100, "0.0.0.0", pid, uid)


NOTHING = PortEvidence(8100, (), (), None, (), NO_ANSWER, None, ())
SERVING = NOTHING._replace(listeners=(listener(10),), servers=(server(),), answer=OPEN)
LIGHT_SERVING = SERVING._replace(servers=(server(LIGHT, ()),))
FOREIGN = NOTHING._replace(listeners=(listener(66),), answer=OPEN)


def entry(name: str = "a", **fields: Any) -> Entry:
    return Entry(name, {**FIELDS, **fields})


FREE = Expected((), None)
WANTED = Expected((entry(),), "jerry")
LOST = Expected((), None, lost=(entry("lost", port=None, wanted=8100),))
DECLARED = Expected((), None, declared="org/a")
RIVAL = entry("rival", port=None, wanted=8100)
RIVALS = Expected((), None, lost=(*LOST.lost, RIVAL), wanting=(*LOST.lost, RIVAL))
WANTED_TWICE = WANTED._replace(lost=(RIVAL,), wanting=(entry(wanted=8100), RIVAL))
LOADED = Expected((entry(process={"pid": 10, "ready_at": "t"}),), "jerry")


def serving(line: str, family: tuple[str, ...] = (WORKER, TRACKER)) -> PortEvidence:
    return SERVING._replace(servers=(server(line, family),))


def wanting(**fields: Any) -> Expected:
    return Expected((entry(**fields),), "jerry")
