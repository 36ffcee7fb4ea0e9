"""One verb under way on the host: what every verb works with."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple, Optional

from .procs import Procs
from .registry.store import Store
from .site import Site
from .wire.client import ClientLink


class Context(NamedTuple):
    """`who` is {"who", "from"}: the person and the machine it came from, for locks, history and
    process records."""

    site: Site
    store: Store
    procs: Procs
    client: ClientLink
    who: Mapping[str, Any]

    def ports(self, asked: Optional[Iterable[int]]) -> Iterable[int]:
        """The ports asked for, each checked to be the host's; all of them when none is named."""
        return list(dict.fromkeys(map(self.site.require_port, asked))) if asked else self.site.ports

    def report(self, text: str) -> None:
        """What takes a while before a job begins."""
        self.client.emit("phase", phase="preflight", message=text)
