"""Fixtures of tests that run complete commands: an OpenSSH login, and a Studio with registered
models."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.loopback import Login
from tests.support.asking import ask
from tests.support.cutlink import CutLink
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.heldloads import HeldLoads, held_loads
from tests.support.initcopies import InitCopies
from tests.support.ports import free_range
from tests.support.sshd import Sshd
from tests.support.studio import Studio
from tests.support.twohosts import Divided, TwoHosts


@pytest.fixture
def openssh(tmp_path: Path) -> Iterator[Sshd]:
    """OpenSSH's server; its log shows every connection and every command. Needs the marker
    openssh."""
    with Sshd(tmp_path / "sshd", extra=("LogLevel VERBOSE",)) as server:
        yield server


@pytest.fixture
def openssh_login(openssh: Sshd) -> Login:
    keys = str(openssh.client_key), str(openssh.known_hosts)
    return Login("127.0.0.1", openssh.port, openssh.user, *keys)


@pytest.fixture
def openssh_studio(
    openssh_login: Login, make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]
) -> Studio:
    """Stand-in servers behind OpenSSH."""
    return make_studio(openssh_login, studio_runtime)


@pytest.fixture
def studio_runtime(fake_runtime: FakeRuntime) -> dict[str, Any]:
    return fake_runtime.table()


@pytest.fixture
def one(make_studio: Callable[..., Studio], studio_runtime: dict[str, Any]) -> Studio:
    """A local Studio of stand-in servers, with amber, jade and topaz in its registry."""
    studio = make_studio(None, {**studio_runtime, "grace_s": 3})
    ask(studio, "init")
    return studio


@pytest.fixture
def empty_hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub on loopback without repositories."""
    with FakeHub(tmp_path / "remote") as hub:
        yield hub


@pytest.fixture
def near_hub_sshd(tmp_path: Path, empty_hub: FakeHub) -> Iterator[Sshd]:
    """OpenSSH's server, on a host configured for that Hub."""
    with Sshd(tmp_path / "sshd", env={"HF_ENDPOINT": empty_hub.url}) as server:
        yield server


@pytest.fixture
def link(near_hub_sshd: Sshd) -> Iterator[CutLink]:
    """The link to it, which can be cut."""
    with CutLink(near_hub_sshd.port) as proxy:
        near_hub_sshd.known_hosts.write_text(near_hub_sshd.known_line(f"[127.0.0.1]:{proxy.port}"))
        yield proxy


@pytest.fixture
def far_studio(
    near_hub_sshd: Sshd,
    link: CutLink,
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
) -> Studio:
    """Stand-in servers behind that link, on four ports."""
    server = near_hub_sshd
    login = Login(
        "127.0.0.1", link.port, server.user, str(server.client_key), str(server.known_hosts)
    )
    studio = make_studio(login, studio_runtime, ports=free_range(4))
    studio.describe(hub_python=sys.executable)
    return studio


@pytest.fixture
def loads(
    far_studio: Studio, fake_runtime: FakeRuntime, empty_hub: FakeHub, tiny_models: Any
) -> Iterator[HeldLoads]:
    """Four swaps through that link, each held in a different phase."""
    with held_loads(far_studio, fake_runtime, empty_hub, tiny_models["tiny/amber"]) as held:
        yield held


@pytest.fixture
def known(studio: Studio, init_copies: InitCopies) -> Studio:
    """The Studio of stand-in servers, with amber, jade and topaz in its registry."""
    init_copies.init(studio)
    return studio


@pytest.fixture
def near(
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    tmp_path: Path,
    init_copies: InitCopies,
) -> Studio:
    """On this machine, with a home of its own; amber serves on the first port."""
    studio = make_studio(None, studio_runtime, env={"HOME": str(tmp_path / "home")})
    init_copies.init(studio)
    studio.must("load", "amber", studio.ports[0])
    return studio


@pytest.fixture
def jade_too(near: Studio) -> None:
    """On `near`, jade serves on the second port."""
    near.must("load", "jade", near.ports[1])


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Programs started meanwhile react to SIGINT, even if the tests run in the background of a
    shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[TwoHosts]:
    with TwoHosts(tmp_path / "hosts") as hosts:
        yield hosts


@pytest.fixture
def light(tmp_path: Path) -> FakeRuntime:
    return FakeRuntime(tmp_path / "bin", "mlx_lm.server")


@pytest.fixture
def divided(two: TwoHosts, make_studio: Callable[..., Studio], light: FakeRuntime) -> Divided:
    """Stand-ins for mlx_lm.server; only the first rank listens."""
    return Divided(make_studio(two.login, light.table()), two)
