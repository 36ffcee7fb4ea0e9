"""Will a model fit into what the machine can still give?"""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from .claim import Ground
from .command import Command
from .errors import NotEnoughMemory
from .observe import find_servers
from .procs import Unseen

HEADROOM = 1.1
HEADROOM_BYTES = 1 << 30


def check(command: Command, ground: Ground, weights: Optional[int], force: bool) -> Tuple[str, ...]:
    """Warnings; NotEnoughMemory, with the ports to unload, unless `force`. The port's own occupant counts as gone."""
    if weights is None:
        return ("the size of the weights is unknown, memory was not checked",)
    need = int(weights * HEADROOM) + HEADROOM_BYTES
    try:
        held = _held(command)
        left = _left(command, held, ground.seen.port)
    except Unseen as exc:
        return ("memory was not checked: %s" % exc.reason,)
    if need <= left:
        return ()
    text = "needs %s of memory with headroom, %s can be had" % (_gib(need), _gib(left))
    if force:
        return (text + "; forced",)
    others = {port: size for port, size in held.items() if port != ground.seen.port}
    room = _smallest(others, need - left)
    steps = ["mlxops unload %d" % port for port in room]
    hint = "%s; or --force" % "; ".join(steps) if room else "--force to try all the same"
    raise NotEnoughMemory(text, hint, need_bytes=need, available_bytes=left, unload=list(room), held_bytes=others)


def _held(command: Command) -> Dict[int, int]:
    """port -> bytes its servers hold."""
    found = find_servers(command.procs.processes(), command.site.runtimes)
    return {port: sum(command.procs.footprint(s.family) or 0 for s in servers) for port, servers in found.items()}


def _left(command: Command, held: Dict[int, int], port: int) -> int:
    memory = command.procs.memory()
    left = memory.available_bytes + held.get(port, 0)
    if memory.wired_limit_bytes is None:
        return left
    return min(left, memory.wired_limit_bytes - sum(size for p, size in held.items() if p != port))


def _smallest(held: Dict[int, int], short: int) -> Tuple[int, ...]:
    """The fewest ports whose unload makes room, largest first; () when all of them would not."""
    chosen: Tuple[int, ...] = ()
    for port, size in sorted(held.items(), key=lambda item: -item[1]):
        if short <= 0:
            break
        chosen, short = (*chosen, port), short - size
    return chosen if short <= 0 else ()


def _gib(size: int) -> str:
    return "%.1f GiB" % (size / (1 << 30))
