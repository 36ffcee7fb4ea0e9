"""One command under way on the host: what every verb works with."""

from __future__ import annotations

import os
from typing import Any, ContextManager, Dict, Iterable, Mapping, NamedTuple, Optional

from .jobs import job as jobs
from .procs import Procs
from .registry.store import Store
from .site import Site
from .wire.client import Client


class Command(NamedTuple):
    """`who` is {"who", "from"}: the person and the machine it came from, for locks, history and process records."""

    site: Site
    store: Store
    procs: Procs
    client: Client
    who: Mapping[str, Any]

    def job(self, port: int, why: str, again: Optional[str] = None, settles: bool = True) -> jobs.Job:
        """`again`: the command that repeats a load; for it and `settles` see Job."""
        own = self.procs.process(os.getpid())
        held = {**self.who, "why": why, "port": port, "start_time": own.start_time if own else None}
        if again:
            held["again"] = again
        return jobs.Job(self.client, self.site.registry, self.site.state_dir, held, settles)

    def brief(self, port: int, why: str) -> ContextManager[None]:
        """Hold a port's lock for a moment."""
        own = self.procs.process(os.getpid())
        held = {**self.who, "why": why, "port": port, "start_time": own.start_time if own else None}
        return jobs.brief(self.site.registry, held)

    def job_of(self, port: int) -> Optional[Dict[str, Any]]:
        return jobs.holder(self.site.registry, port)

    def cut_off(self, port: int) -> Optional[Dict[str, Any]]:
        return jobs.cut_off(self.site.registry, port)

    def ports(self, asked: Optional[Iterable[int]]) -> Iterable[int]:
        """The ports asked for, each checked to be the host's; all of them when none is named."""
        return list(dict.fromkeys(map(self.site.need_port, asked))) if asked else self.site.ports

    def say(self, text: str) -> None:
        """What takes a while before a job begins."""
        self.client.emit("phase", phase="preflight", message=text)
