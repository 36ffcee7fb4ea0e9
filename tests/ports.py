"""Free TCP ports of loopback for tests."""

from __future__ import annotations

import os
import random
import socket

# Below the range the kernel hands out by itself, so that no outgoing connection takes one meanwhile.
LOWEST, HIGHEST = 20000, 32000
ADDRESSES = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
dice = random.Random(os.getpid())


def free_range(count: int) -> list[int]:
    """Neighbouring ports nobody holds."""
    while True:
        first = dice.randrange(LOWEST, HIGHEST - count)
        ports = list(range(first, first + count))
        if all(map(is_free, ports)):
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
