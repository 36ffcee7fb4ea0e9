"""Services of systemd: which one a process belongs to, and whether systemd starts it again."""

from __future__ import annotations

import re
from typing import Collection, Optional

from ..errors import Unobservable
from .facts import Service
from .tool import run_tool

SYSTEMCTL_TIMEOUT_S = 10.0
MANAGER = re.compile(r"user@(\d+)\.service")


def service_of(cgroup: str) -> Optional[Service]:
    """The service in the text of /proc/PID/cgroup; None if the process belongs to none."""
    for line in cgroup.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        # With cgroup v1 only the hierarchy that systemd named shows its units.
        if (number, controllers) == ("0", "") or controllers == "name=systemd":
            names = [name for name in path.split("/") if name.endswith(".service")]
            managers = [found for found in map(MANAGER.fullmatch, names) if found]
            if names and not MANAGER.fullmatch(names[-1]):
                return Service(names[-1], int(managers[-1][1]) if managers else None)
    return None


def restarts(service: Service, pids: Collection[int], systemctl: str) -> bool:
    """Whether systemd starts the service again once its main process, one of these, has ended."""
    manager = [] if service.uid is None else ["--user"]
    ask = [systemctl, *manager, "show", "--property=MainPID,Restart", "--", service.unit]
    if service.uid is not None:
        ask = ["/usr/bin/env", "XDG_RUNTIME_DIR=/run/user/%d" % service.uid, *ask]
    answer = run_tool(ask, SYSTEMCTL_TIMEOUT_S)
    if answer.code != 0:
        raise Unobservable("%s: %s" % (systemctl, answer.error_line()))
    values = dict(line.partition("=")[::2] for line in answer.out.splitlines())
    main = values.get("MainPID", "")
    return main.isdigit() and int(main) in pids and values.get("Restart", "no") != "no"
