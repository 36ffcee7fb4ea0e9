"""The context of a verb: site, store, processes, client."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple, Optional

from .procs import Procs
from .registry.store import Store
from .site import Site
from .wire.client import ClientLink


class Context(NamedTuple):
    """`who` is {"who", "from"}: the person and the machine the request came from, for locks, the
    history and process records."""

    site: Site
    store: Store
    procs: Procs
    client: ClientLink
    who: Mapping[str, Any]

    def ports(self, ports: Optional[Iterable[int]]) -> Iterable[int]:
        """The given ports, each checked against the host file; without any, all of the host's."""
        return list(dict.fromkeys(map(self.site.require_port, ports))) if ports else self.site.ports

    def report(self, text: str) -> None:
        """Report a slow step that comes before a job begins."""
        self.client.emit("phase", phase="preflight", message=text)
