"""The only room that knows how the platform shows processes, sockets and memory."""

from __future__ import annotations

import os

from ..errors import Unobservable
from .contract import Procs
from .facts import Boot, LaunchdJob, Listener, Memory, Output, Process, Service, Traffic
from .tree import ancestors, descendants, tree

__all__ = [
    "Boot",
    "LaunchdJob",
    "Listener",
    "Memory",
    "Output",
    "Process",
    "Procs",
    "Service",
    "Traffic",
    "Unobservable",
    "ancestors",
    "descendants",
    "local_procs",
    "tree",
]


def local_procs() -> Procs:
    """The processes of this machine."""
    if os.path.exists("/proc/self/stat"):
        from .linux import Linux

        return Linux()
    from .macos.darwin import Darwin

    return Darwin()
