"""logs: what a port's server printed."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Mapping, TextIO

from ..command import Command
from ..errors import Failed
from ..launch import log_path, tail

LOOK_EVERY_S = 0.2


def logs(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    port = command.site.need_port(args["port"])
    path = log_path(command.site.state_dir, port)
    if not os.path.exists(path):
        raise Failed("no server was started on port %d by mlxops yet" % port, "mlxops status %d" % port, path=path)
    lines = list(tail(path, int(args.get("lines") or 0)))
    if args.get("follow"):
        for line in lines:
            command.client.emit("log", line=line)
        _follow(command, path)
    return {"port": port, "path": path, "lines": lines}


def _follow(command: Command, path: str) -> None:
    """Emit lines as they come until the client leaves; begin anew when a new server's log takes the place."""
    start_at = os.SEEK_END
    while True:
        with open(path, errors="replace") as f:
            f.seek(0, start_at)
            _follow_one(command, f, path)
        start_at = os.SEEK_SET


def _follow_one(command: Command, f: TextIO, path: str) -> None:
    """Until another file stands under the name, and this one is read to its end."""
    while True:
        command.client.check()
        line = f.readline()
        if line:
            command.client.emit("log", line=line.rstrip("\n"))
        elif _replaced(f.fileno(), path):
            return
        else:
            time.sleep(LOOK_EVERY_S)


def _replaced(fd: int, path: str) -> bool:
    try:
        return os.stat(path).st_ino != os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
