"""Free TCP ports on loopback for tests."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from itertools import cycle, islice

# Below the ephemeral range of the kernel, so that no outgoing connection takes one.
LOWEST, HIGHEST = 20000, 32000
ADDRESSES = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def _share() -> list[int]:
    """The ports of this worker of a parallel run: no other worker picks one before its server has
    bound it.

    Ports of different workers differ in their last three digits, by which the ranks of a model find
    each other."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").lstrip("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return [port for port in range(LOWEST, HIGHEST) if port % 1000 * workers // 1000 == worker]


def _in_turn() -> Iterator[int]:
    """All of them, cyclically, from a random start: none is picked twice within a short time."""
    share = _share()
    start = random.Random(os.getpid()).randrange(len(share))
    return cycle([*share[start:], *share[:start]])


turn = _in_turn()


def free_range(count: int) -> list[int]:
    """Adjacent free ports."""
    while True:
        ports = list(islice(turn, count))
        if ports[-1] - ports[0] == count - 1 and all(map(is_free, ports)):
            return ports


def is_free(port: int) -> bool:
    return all(_binds(family, address, port) for family, address in ADDRESSES)


def _binds(family: socket.AddressFamily, address: str, port: int) -> bool:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
