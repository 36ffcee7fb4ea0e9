"""What is known of one host of the view, and of the link to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..agent.errors import MlxopsError
from ..render.format import timestamp
from ..render.work import Work

CONNECTING, LIVE, LOST, REFUSED = "connecting", "live", "lost", "refused"


@dataclass
class Link:
    """The link to a host. Times on the monotonic clock.

    `state`: lost means that it will be tried again at `retry_at`; refused that it will not.
    `error`: why. `heard_at`: the last look that was reported; None before the first."""

    state: str = CONNECTING
    error: MlxopsError | None = None
    heard_at: float | None = None
    lost_at: float | None = None
    retry_at: float | None = None


@dataclass
class Section:
    """One host: the last of every key that its records had."""

    name: str
    target: str = ""
    link: Link = field(default_factory=Link)
    notes: dict[str, None] = field(default_factory=dict)
    works: dict[str, Work] = field(default_factory=dict)
    _ports: dict[int, dict[str, Any]] = field(default_factory=dict)
    _arrived: dict[int, float] = field(default_factory=dict)
    _rest: dict[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether a look was reported yet."""
        return bool(self._ports)

    @property
    def ports(self) -> list[int]:
        return sorted(self._ports)

    def get(self, key: str) -> Any:
        return self._rest.get(key)

    def take(self, record: dict[str, Any], now: float) -> bool:
        """Add a record of the host; return whether anything changed."""
        first = self.link.state != LIVE
        self.link = Link(state=LIVE, heard_at=now)
        if record.get("event") == "warning":
            self.notes[str(record.get("message"))] = None
            return True
        if record.get("event") != "watch":
            return first
        if first:
            # Another connection, whose first record is whole.
            self._ports, self._arrived, self._rest = {}, {}, {}
        for row in record.get("ports", ()):
            self._ports[row["port"]], self._arrived[row["port"]] = row, now
        news = {key: value for key, value in record.items() if key not in ("event", "at", "ports")}
        self._rest.update(news)
        if "jobs" in news:
            self._follow_jobs(record, now)
        return first or bool(news or record.get("ports"))

    def _follow_jobs(self, record: dict[str, Any], now: float) -> None:
        works = {}
        for job in record["jobs"]:
            name = str(job.get("job"))
            since, at = timestamp(job.get("since")), timestamp(record.get("at"))
            work = self.works.get(name) or Work(job.get("port"), now)
            age = at - since if at is not None and since is not None else None
            work.set_job({"entry": job.get("entry"), "age_s": age}, now)
            work.set_phase({"phase": job.get("phase"), "message": job.get("step") or ""}, now)
            if isinstance(job.get("progress"), dict):
                work.advance({"phase": job.get("phase"), **job["progress"]}, now)
            works[name] = work
        self.works = works

    def lose(self, error: MlxopsError, now: float, retry_s: float | None) -> bool:
        """Note that the link is gone; whether that is new. `retry_s`: seconds until the next try,
        None for never."""
        before = self.link.state
        lost_at = self.link.lost_at if before == LOST else now
        self.link = Link(
            state=LOST if retry_s is not None else REFUSED,
            error=error,
            heard_at=self.link.heard_at,
            lost_at=lost_at,
            retry_at=None if retry_s is None else now + retry_s,
        )
        return self.link.state != before

    def retry(self) -> None:
        """Note that somebody asked for another try."""
        self.link = Link(heard_at=self.link.heard_at)

    def result(self, now: float) -> dict[str, Any]:
        """What `status` would report, with every clock at this moment."""
        rows = [self._row(port, now) for port in self.ports]
        return {**self._rest, "ports": rows}

    def _row(self, port: int, now: float) -> dict[str, Any]:
        row = self._ports[port]
        uptime = row.get("uptime_s")
        if uptime is None:
            return row
        last = now if self.link.state == LIVE else self.link.heard_at or now
        return {**row, "uptime_s": uptime + max(0.0, last - self._arrived[port])}
