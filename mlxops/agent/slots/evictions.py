"""Choose the ports that make room for a plan. Pure."""

from __future__ import annotations

from typing import Dict, FrozenSet, Mapping

from ..memory.fit import fewest_ports, format_gib
from .judge import Occupant, Verdict, obstacle_of


def evict(
    there: Mapping[int, Occupant],
    verdicts: Mapping[int, Verdict],
    used_by_port: Mapping[int, int],
    short_bytes: int,
    kept: FrozenSet[int],
) -> Dict[int, Verdict]:
    """port -> the verdict `unload`, for as few ports as make this much room; {} if all are too few.

    Only ports that the plan leaves alone and whose servers are registered, and none of `kept`."""
    held = {
        port: used_by_port[port]
        for port, occupant in there.items()
        if used_by_port.get(port)
        and port not in kept
        and (port not in verdicts or verdicts[port].verdict == "leave")
        and may_evict(occupant)
    }
    return {
        port: Verdict("unload", "makes room: its server uses %s" % format_gib(held[port]))
        for port in fewest_ports(held, short_bytes)
    }


def may_evict(there: Occupant) -> bool:
    """Whether the server is certainly the one of the entry on this port."""
    proven = there.is_registered and bool(there.evidence.proven)
    return proven and obstacle_of(there) is None
