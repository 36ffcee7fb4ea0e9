"""Fixtures of the tests that go through the whole program: an OpenSSH login, and a Studio with its models known."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sshd import Sshd
from studio import Studio

from mlxops.demo.loopback import Login


@pytest.fixture
def openssh(tmp_path: Path) -> Iterator[Sshd]:
    """OpenSSH's own server; its log tells every connection and every command. Needs the marker openssh."""
    with Sshd(tmp_path / "sshd", extra=("LogLevel VERBOSE",)) as server:
        yield server


@pytest.fixture
def openssh_login(openssh: Sshd) -> Login:
    keys = str(openssh.client_key), str(openssh.known_hosts)
    return Login("127.0.0.1", openssh.port, openssh.user, *keys)


@pytest.fixture
def openssh_studio(openssh_login: Login, make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]) -> Studio:
    """Stand-in servers behind OpenSSH."""
    return make_studio(openssh_login, studio_runtime)


@pytest.fixture
def studio_runtime(fake_runtime: Any) -> dict[str, Any]:
    return {"name": "mlx-openai-server", "command": fake_runtime.command, "startup_timeout_s": 30, "grace_s": 10}


@pytest.fixture
def known(studio: Studio) -> Studio:
    """The Studio of stand-in servers, with amber, jade and topaz in its registry."""
    studio.must("init")
    return studio


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Programs started meanwhile heed SIGINT, even where the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
