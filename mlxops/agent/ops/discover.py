"""What a host file needs to know of a host: interpreter, runtimes, caches, ports, addresses."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, Dict, List, Mapping, Optional

from ..catalog.homes import find_homes
from ..catalog.local_folders import find_model_dirs
from ..context import Context
from ..errors import Unobservable
from ..programs.discover import find_runtimes


def discover(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Look only. The site is provisional: of it, the ports and the runtimes are used."""
    return {
        "python": sys.executable,
        "python_version": sys.version.split()[0],
        "home": os.path.expanduser("~"),
        "memory_bytes": _memory(ctx),
        "runtimes": [
            {**one._asdict(), "command": list(one.command)}
            for one in find_runtimes(ctx.site.runtimes)
        ],
        "known": [
            {"name": one.name, "programs": [form[0] for form in one.forms]}
            for one in ctx.site.runtimes.values()
        ],
        "hf_homes": [home._asdict() for home in find_homes()],
        "model_dirs": [one._asdict() for one in find_model_dirs()],
        "used_ports": _used_ports(ctx),
        "address": _address(os.environ.get("SSH_CONNECTION", "")),
    }


def _memory(ctx: Context) -> Optional[int]:
    try:
        return ctx.procs.memory().total_bytes
    except Unobservable:
        return None


def _used_ports(ctx: Context) -> Optional[List[int]]:
    """The ports of the site on which something listens; None if that cannot be seen."""
    try:
        return sorted({one.port for one in ctx.procs.listeners(ctx.site.ports)})
    except Unobservable:
        return None


def _address(connection: str) -> Optional[str]:
    """The address by which other machines reach this one: that of the login, else that of the
    route outward; None for loopback."""
    words = connection.split()
    address = words[2] if len(words) > 2 else _outward_address()
    return None if not address or address.startswith("127.") or address == "::1" else address


def _outward_address() -> Optional[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing
            return str(sock.getsockname()[0])
        except OSError:
            return None
