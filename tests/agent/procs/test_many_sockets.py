"""A host with many sockets: the kernel returns its tables page by page."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from mlxops.agent.procs import local_procs


def test_every_listener_is_seen_among_many() -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(150)]
        ports = {server.getsockname()[1] for server in crowd}
        assert {listener.port for listener in local_procs().listeners(ports)} == ports
