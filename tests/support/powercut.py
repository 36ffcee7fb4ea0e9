"""Kill the servers of a Studio as a crash or a power cut does, and read what its registry wants."""

from __future__ import annotations

import os
import signal
from typing import Any

from .studio import Answer, Studio, eventually, finished
from .survivors import living


def power_cut(studio: Studio, *ports: int) -> None:
    """Kill all servers, or those of these ports, with everything that belongs to them."""
    rows = studio.must("status")["ports"]
    pids = {row["pid"] for row in rows if row["pid"] and (not ports or row["port"] in ports)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not pids & living(studio.folder).keys())
    gone = [row["port"] for row in rows if row["pid"] in pids]
    eventually(lambda: all(studio.port_row(port)["drift"] == "stale" for port in gone))


def reboot(studio: Studio) -> None:
    """A power cut, after which the registry's records are of another boot than the present one."""
    power_cut(studio)

    def of_another_boot(registry: dict[str, Any]) -> None:
        for entry in registry["models"].values():
            process = entry.get("process") or {}
            for one in (process, *process.get("family", ())):
                if "start_time" in one:
                    one["start_time"] = "00000000-" + one["start_time"].partition("-")[2]

    studio.edit(of_another_boot)


def quiet(studio: Studio, *more: str) -> Answer:
    """`reconcile -q`, as cron runs it."""
    return finished(studio.start("reconcile", "-q", *more))


def wanted(studio: Studio) -> dict[str, int]:
    """Entry -> the port that it wants, for entries that want one."""
    return {
        name: int(entry["wanted"])
        for name, entry in studio.registry()["models"].items()
        if entry.get("wanted")
    }
