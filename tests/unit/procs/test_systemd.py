"""The service of a process, from the text of /proc/PID/cgroup (proc_pid_cgroup(5))."""

from __future__ import annotations

import pytest

from mlxops.agent.procs import Service
from mlxops.agent.procs.systemd import service_of

USER = "/user.slice/user-1000.slice"


@pytest.mark.parametrize(
    ("cgroup", "service"),
    [
        ("0::/system.slice/mlx.service\n", Service("mlx.service", None)),
        ("0::/system.slice/mlx.slice/mlx@8100.service/sub", Service("mlx@8100.service", None)),
        (f"0::{USER}/user@1000.service/app.slice/mlx.service", Service("mlx.service", 1000)),
        ("8:pids:/x\n1:name=systemd:/system.slice/mlx.service\n0::/", Service("mlx.service", None)),
        (f"0::{USER}/user@1000.service/init.scope\n", None),
        (f"0::{USER}/session-4.scope\n", None),
        ("0::/docker/0123456789ab\n", None),
        ("5:memory:/system.slice/mlx.service\n0::/\n", None),
        ("0::/", None),
        ("garbage", None),
        ("", None),
    ],
)
def test_the_service(cgroup: str, service: Service | None) -> None:
    assert service_of(cgroup) == service
