"""Run one `list` in a fresh interpreter and print how long each of its stages took, as JSON in ms.

    python -m tests.bench.stages HOSTS_DIR

HOSTS_DIR holds the file bench.toml. `speed` runs this script several times and prints the medians.
"""

from __future__ import annotations

import gc
import time

gc.disable()
BEGAN = time.clock_gettime(time.CLOCK_MONOTONIC)

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

moments: list[tuple[str, float]] = []


def note(stage: str) -> None:
    moments.append((stage, time.clock_gettime(time.CLOCK_MONOTONIC)))


def noting(owner: Any, name: str, stage: str) -> None:
    """Note the end of each call of a function under this stage."""
    inner = getattr(owner, name)

    def outer(*args: Any, **kwargs: Any) -> Any:
        try:
            return inner(*args, **kwargs)
        finally:
            note(stage)

    setattr(owner, name, outer)


def started() -> float:
    """When this process was made, on the same clock (Linux), else when this file began."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return BEGAN
    return ticks / os.sysconf("SC_CLK_TCK")


def hosts_dir() -> str:
    """The folder named on the command line. argparse is imported only where there is something to
    say about it."""
    if len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
        return sys.argv[1]
    import argparse

    parser = argparse.ArgumentParser(prog="python -m tests.bench.stages", description=__doc__)
    parser.add_argument("hosts_dir", help="folder with the host file bench.toml")
    return str(parser.parse_args().hosts_dir)


def main() -> None:
    folder = hosts_dir()
    note("interpreter")
    import click  # noqa: F401
    import tabulate  # noqa: F401

    note("imports of the command line")
    from mlxops import bundle, session
    from mlxops.hosts import files as hosts
    from mlxops.interrupts import InterruptState
    from mlxops.transport import connect

    host = hosts.find_host("bench", folder)
    note("imports and host file")
    dialling = connect.PendingSocket(host.ssh)
    from mlxops.transport import ssh

    note("import of paramiko (while dialling)")
    noting(ssh.EarlyKeyExchange, "start_client", "import of fabric, key exchange")
    noting(ssh.StrictHostKeys, "missing_host_key", "host key")
    noting(ssh.PublicKeyLogin, "authenticate", "login")
    noting(ssh, "open_session", "exec")
    link = ssh.SshTransport(dialling).open(host.python)
    packed = bundle.pack()
    note("bundle")
    talk = session.HostCall(host, link, packed, lambda event: None, InterruptState())
    noting(talk._conversation, "_after_ok", "shell, interpreter, agent's imports")
    talk.run(session.request(host, "list", {}))
    note("the verb itself")
    before = started()
    taken = {}
    for stage, moment in moments:
        taken[stage], before = (moment - before) * 1000, moment
    print(json.dumps(taken))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
