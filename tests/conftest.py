"""Fixtures for tests with real processes, and the report of tests that this machine cannot run."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.loopback import Login, LoopbackServer
from mlxops.demo.tinymodel import model_files
from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.openaiprogram import OPENAI_SERVER, openai_program
from tests.support.ports import free_range
from tests.support.studio import Studio
from tests.support.survivors import kill_all, left_behind

REQUIRE_ALL = "MLXOPS_TEST_REQUIRE_ALL"
QUICK, SLOW, ALL = TIERS = ("quick", "slow", "all")
LEFT_OUT = pytest.StashKey[int]()
UNLOCKED_WITHIN_S = 10.0
STATES = count()
SYSTEM_PATH = os.pathsep.join(["/usr/sbin", "/sbin", os.environ.get("PATH", "")])

NamedModels = dict[str, dict[str, bytes]]


def cannot_run() -> dict[str, str]:
    """Marker -> how to have its tests run, for the markers that this machine cannot serve."""
    wanted = {
        "openai_server": (
            openai_program(),
            f"set {OPENAI_SERVER} to an environment with mlx-openai-server",
        ),
        "openssh": (
            shutil.which("sshd", path=SYSTEM_PATH),
            "install OpenSSH's server (openssh-server)",
        ),
        "cron": (
            shutil.which("cron", path=SYSTEM_PATH),
            "install a cron daemon (cron) and run as root",
        ),
        "lsof": (shutil.which("lsof") and shutil.which("ps"), "install lsof and ps (procps)"),
        "zsh": (shutil.which("zsh"), "install zsh"),
        "fish": (shutil.which("fish"), "install fish"),
        "chromium": (
            shutil.which("chromium") and shutil.which("chromedriver"),
            "install chromium and chromedriver (chromium-driver)",
        ),
    }
    return {marker: remedy for marker, (present, remedy) in wanted.items() if not present}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tier",
        choices=TIERS,
        default=QUICK,
        help="quick (the default) leaves out the tests marked slow, slow runs only those, all runs "
        "both. Files and tests named on the command line always run whole, and so does what -m "
        "selects.",
    )


def in_tier(item: pytest.Item, tier: str, named: Collection[Path]) -> bool:
    return tier == ALL or item.path in named or (tier == SLOW) == ("slow" in item.keywords)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = cannot_run()
    if missing and os.environ.get(REQUIRE_ALL):
        raise pytest.UsageError(
            "; ".join(f"{marker}: {remedy}" for marker, remedy in missing.items())
        )
    named = {Path(word.partition("::")[0]).resolve() for word in config.args}
    tier = ALL if config.option.markexpr else config.option.tier
    chosen = [item for item in items if in_tier(item, tier, named)]
    config.stash[LEFT_OUT] = len(items) - len(chosen)
    able = [item for item in chosen if not any(item.get_closest_marker(name) for name in missing)]
    if len(able) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in {*able}])
        items[:] = able


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker sends the number of its tests outside the tier to the process that prints."""
    if worker_output := getattr(session.config, "workeroutput", None):
        worker_output["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if output := getattr(node, "workeroutput", None):
        node.config.stash[LEFT_OUT] = output["left_out"]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = [
        f"LEFT OUT: the tests marked {marker}; to run them, {remedy}"
        for marker, remedy in cannot_run().items()
    ]
    if count := config.stash.get(LEFT_OUT, 0):
        tier, other = config.option.tier, SLOW if config.option.tier == QUICK else QUICK
        lines.append(
            f"LEFT OUT: {count} tests that are not in the {tier} tier; to run them, "
            f"python -m pytest --tier {other}"
        )
    for line in lines:
        terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.fixture(autouse=True)
def nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a process running; only tests with a folder of their own can start
    one."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder:
        assert not left_behind(folder), "the test left processes running"


@pytest.fixture(autouse=True)
def own_client_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What commands keep between calls, such as the warnings they have shown."""
    state = tmp_path_factory.getbasetemp() / f"state-{next(STATES)}"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))


@pytest.fixture(autouse=True, scope="session")
def the_usual_umask() -> None:
    """Host files that a group can write are rejected; some systems create all files that way."""
    os.umask(0o022)


@pytest.fixture(autouse=True, scope="session")
def nothing_left_at_the_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.getbasetemp()
    for place in (folder, *folder.parents):
        # Some tests have a second user, who must be able to reach the folder of the test.
        if not place.stat().st_mode & 0o001:
            place.chmod(place.stat().st_mode | 0o011)
    yield
    assert not left_behind(folder), "the tests left processes running"


@pytest.fixture
def free_port() -> int:
    return free_range(1)[0]


@pytest.fixture(scope="session")
def tiny_models() -> NamedModels:
    """repo_id -> files of models that say their name."""
    return {
        f"tiny/{name.lower()}": model_files(["I", " am", f" {name}", "."], seed=seed)
        for seed, name in enumerate(("AMBER", "JADE", "TOPAZ"))
    }


@pytest.fixture(scope="session")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    """A throw-away SSH server for the whole session."""
    folder = tmp_path_factory.mktemp("ssh")
    home = tmp_path_factory.mktemp("home")
    with LoopbackServer(folder, home) as server:
        yield server.login


@pytest.fixture
def fake_runtime(tmp_path: Path) -> FakeRuntime:
    return FakeRuntime(tmp_path / "bin")


@pytest.fixture(scope="session")
def init_copies() -> InitCopies:
    return InitCopies()


@pytest.fixture
def make_studio(tmp_path: Path, tiny_models: NamedModels) -> Iterator[Callable[..., Studio]]:
    """Creates a Studio with the tiny models in its cache. At the end, real servers are unloaded
    and stand-ins killed."""
    made: list[Studio] = []

    def make(login: Login | None, runtime: dict[str, Any], **more: Any) -> Studio:
        made.append(Studio(tmp_path / f"studio{len(made)}", login, runtime, **more))
        for repo_id, files in tiny_models.items():
            made[-1].add(repo_id, files)
        return made[-1]

    yield make
    for studio in made:
        program = Path(next(iter(studio.runtime.get("command", [])), ""))
        if program.is_relative_to(tmp_path) and not studio.locked():
            kill_all(studio.folder)
        elif studio.registry_path.exists():
            empty(studio)


def empty(studio: Studio) -> None:
    """Unload everything; a load left by a failed test keeps its port locked for a while."""
    end = time.monotonic() + UNLOCKED_WITHIN_S
    while studio.mlxops("unload-all", "--grace", 5).exit == 1 and time.monotonic() < end:
        time.sleep(0.5)


@pytest.fixture
def studio(make_studio: Callable[..., Studio], login: Login, fake_runtime: FakeRuntime) -> Studio:
    """Over SSH, with stand-in servers."""
    return make_studio(login, fake_runtime.table())


@pytest.fixture
def light_runtime() -> dict[str, Any]:
    """The real mlx_lm.server."""
    program = Path(sys.executable).with_name("mlx_lm.server")
    assert program.exists(), "the test environment lacks mlx-lm"
    return {
        "name": "mlx_lm.server",
        "command": [str(program)],
        "env": {"HF_HUB_OFFLINE": "1"},
        "grace_s": 20,
    }


@pytest.fixture
def openai_runtime() -> dict[str, Any]:
    """The real mlx-openai-server; its tests are marked openai_server."""
    command = [str(openai_program()), "launch"]
    return {
        "name": "mlx-openai-server",
        "command": command,
        "env": {"HF_HUB_OFFLINE": "1"},
        "grace_s": 60,
    }
