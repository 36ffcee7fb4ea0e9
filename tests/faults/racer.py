"""One writer of the race, as a separate process: registers a number of entries, one command each,
over one way to the host.

argv: the folder of host files, the way, the writer's name, the number. Prints the seconds of each
command and the number of refusals, as one line of JSON. Refused commands are repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mlxops import session
from mlxops.agent.errors import Locked
from mlxops.hosts import files as hosts

ROOT = Path(__file__).parents[2]
LOCKED = Locked.exit_code
Edit = Callable[[str, str], bool]


def called(host: hosts.Host) -> Edit:
    """Within this process, as a long-lived client would."""

    def edit(name: str, repo: str) -> bool:
        try:
            session.call(host, "register", {"name": name, "repo": repo}, lambda _: None)
        except Locked:
            return False
        return True

    return edit


def commanded(hosts_dir: str) -> Edit:
    """A complete command in cron's environment: no terminal, no agent, almost no PATH."""
    bare = {
        "PATH": "/usr/bin:/bin",
        "HOME": os.environ["HOME"],
        "SHELL": "/bin/sh",
        "PYTHONPATH": str(ROOT),
    }
    words = [
        sys.executable,
        "-m",
        "mlxops",
        "-q",
        "--hosts-dir",
        hosts_dir,
        "--host",
        "studio",
        "register",
    ]

    def edit(name: str, repo: str) -> bool:
        done = subprocess.run(
            [*words, name, repo],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=bare,
            start_new_session=True,
        )
        assert done.returncode in (0, LOCKED), done
        return done.returncode == 0

    return edit


def main() -> None:
    hosts_dir, way, name, count = sys.argv[1:]
    host = hosts.find_host("studio", hosts_dir)
    edit = {"ssh": called(host), "local": called(host.local()), "cron": commanded(hosts_dir)}[way]
    seconds: list[float] = []
    refused = 0
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(count)):
        began = time.monotonic()
        while not edit(f"{name}-{number}", f"race/{name}-{number}"):
            refused += 1
        seconds.append(time.monotonic() - began)
    print(json.dumps({"seconds": seconds, "refused": refused}))


if __name__ == "__main__":
    main()
