"""What plan says and what apply does to a Studio, and what neither may touch."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mlxops.agent.procs import local_procs
from tests.support.studio import Answer, Studio, eventually, finished
from tests.support.survivors import living

Rows = Mapping[int, Mapping[str, Any]]


class Served(NamedTuple):
    """Who serves a port: the entry, and its process by pid and start time."""

    entry: str
    pid: int
    start_time: str


def by_port(result: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    return {row["port"]: row for row in result["rows"]}


def planned(studio: Studio, *words: object) -> dict[int, dict[str, Any]]:
    """The rows of `plan` by port."""
    return by_port(studio.must("plan", *words))


def verdicts(studio: Studio, *words: object) -> dict[int, str]:
    """The verdicts of `plan`, without those of ports that nobody has plans for."""
    rows = planned(studio, *words)
    return {port: row["verdict"] for port, row in rows.items() if row["verdict"] != "leave"}


def applied(studio: Studio, *words: object) -> Answer:
    return finished(studio.start("--json", "apply", *words), timeout_s=280)


def served(studio: Studio, ports: Iterable[int] = ()) -> dict[int, Served]:
    """The living recorded servers of these ports, or of all."""
    found, table = {}, local_procs().processes()
    for name, entry in studio.registry()["models"].items():
        process = table.get((entry.get("process") or {}).get("pid"))
        if process and not process.zombie and entry["port"] in ({*ports} or {*studio.ports}):
            found[entry["port"]] = Served(name, process.pid, process.start_time)
    return found


def stamp(studio: Studio) -> tuple[bytes, int]:
    """The registry's content, and when it was last written."""
    return studio.registry_path.read_bytes(), studio.registry_path.stat().st_mtime_ns


def nothing_to_do(studio: Studio) -> None:
    """Apply does nothing, and writes nothing: not even the same bytes again."""
    before, there = stamp(studio), served(studio)
    answer = applied(studio)
    assert answer.exit == 0, answer
    assert (answer.result["changes"], answer.result["changed"]) == (0, False), answer
    assert {row["verdict"] for row in answer.result["rows"]} <= {"same", "leave"}
    assert stamp(studio) == before and served(studio) == there


def kill(studio: Studio, *ports: int) -> None:
    """End the servers of these ports, or of all, as a crash or a power cut does, and wait for their
    workers, which end by themselves a moment later."""
    servers = {one.pid for one in served(studio, ports).values()}
    pids = servers | _workers(studio, servers)
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not pids & living(studio.folder).keys())
    gone = [port for port in studio.ports if not ports or port in ports]
    eventually(lambda: not served(studio, gone))


def _workers(studio: Studio, servers: set[int]) -> set[int]:
    """The recorded workers of these servers."""
    records = [entry.get("process") or {} for entry in studio.registry()["models"].values()]
    return {
        worker["pid"]
        for record in records
        if record.get("pid") in servers
        for worker in record.get("family", [])
    }
