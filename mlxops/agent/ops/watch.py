"""watch: what status reports, again and again over one connection, without a request to any
server."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping, NoReturn, Optional

from ..clock import now
from ..context import Context
from ..ports.expected import outside_warning, wanted_outside
from ..watch.changes import Changes
from ..watch.events import LastEvents
from ..watch.figures import Speeds
from ..watch.look import PortWatch
from .port_rows import broken_rows, drift_rows, port_row, without_judgement

WATCH_INTERVAL_S = 2.0
MIN_WATCH_INTERVAL_S = 0.2
ABOUT_JOB = (
    "job",
    "port",
    "entry",
    "why",
    "who",
    "from",
    "since",
    "phase",
    "step",
    "progress",
)


def watch(ctx: Context, args: Mapping[str, Any]) -> NoReturn:
    """Send a record per look: what changed since the last one, at first everything. It ends with
    its client."""
    pause = max(MIN_WATCH_INTERVAL_S, args.get("interval_s") or WATCH_INTERVAL_S)
    ports = PortWatch(ctx, ctx.ports(args.get("ports")))
    view, changes = View(ports), Changes()
    following = time.monotonic()
    while True:
        ctx.client.check()
        ctx.client.emit("watch", at=now(), **changes.since_last(view.after_look()))
        following = max(following + pause, time.monotonic())
        time.sleep(max(0.0, following - time.monotonic()))


class View:
    """What is shown of the ports. Rows are made again only from new evidence; figures each time."""

    def __init__(self, ports: PortWatch) -> None:
        self._ports, self._ctx = ports, ports.ctx
        self._speeds = Speeds(ports.ctx.site.state_dir)
        self._events = LastEvents(ports.ctx.site.state_dir)
        self._rows: Dict[int, Dict[str, Any]] = {}

    def after_look(self) -> Dict[str, Any]:
        """Everything, after one more look."""
        if self._ports.look():
            self._rows = {port: self._judged(port) for port in self._ports.ports}
        rows = [{**row, **self._figures(port)} for port, row in self._rows.items()]
        jobs = self._jobs()
        memory, fault = self._ports.memory, self._ports.fault
        return {
            "ports": rows,
            "memory": memory._asdict() if memory else None,
            "drift": drift_rows(rows),
            "broken": broken_rows(rows),
            "jobs": jobs,
            "events": self._events.after(str(job["job"]) for job in jobs),
            "warnings": self._warnings(),
            "error": fault.to_wire() if fault else None,
        }

    def _judged(self, port: int) -> Dict[str, Any]:
        row = port_row(self._ctx, self._ports.registry, self._ports.evidence[port])
        return without_judgement(row) if self._ports.fault else row

    def _figures(self, port: int) -> Dict[str, Any]:
        """The values that change without a change of state."""
        seen = self._ports.evidence[port]
        started = seen.server.process.started_at if seen.server else None
        return {
            "requests": self._ports.served(port) if seen.server else None,
            "rss_bytes": self._ports.used_bytes(port),
            "uptime_s": None if started is None else round(max(0.0, time.time() - started), 1),
            "latency_ms": self._ports.pulses.of(port).latency_ms if seen.server else None,
            **self._speeds.of(port, seen.server),
            "job": _about(self._ports.jobs.get(port)),
        }

    def _jobs(self) -> List[Dict[str, Any]]:
        jobs = map(_about, self._ports.jobs.values())
        return [job for job in jobs if job and job["job"]]

    def _warnings(self) -> List[str]:
        outside = wanted_outside(self._ports.registry, self._ctx.site.ports)
        return [outside_warning(entry) for entry in outside]


def _about(job: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    return None if job is None else {key: job.get(key) for key in ABOUT_JOB}
