"""The [cron] table of the host file: cron's runs log in with its key, all others do not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.restricted import Restricted
from tests.support.studio import ROOT, Answer, finished

pytestmark = pytest.mark.openssh


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Restricted]:
    """A host whose cron key may run status and reconcile, named in the [cron] table of its file."""
    command = FakeRuntime(tmp_path / "bin").command
    door = Restricted(tmp_path, {"name": "mlx-openai-server", "command": command})
    with door.server:
        door.authorize()
        door.studio.registry_path.write_text(json.dumps({"version": 1, "models": {}}))
        append(door, identity_file=str(door.key))
        yield door


def append(door: Restricted, **login: str) -> None:
    path = door.studio.hosts_dir / "studio.toml"
    rows = "".join(f"{key} = {json.dumps(value)}\n" for key, value in login.items())
    path.write_text(path.read_text() + f"\n[cron]\n{rows}")


def run(door: Restricted, *words: object, **env: str) -> Answer:
    """A run of the crontab's environment."""
    plain = {"PATH": "/usr/bin:/bin", "HOME": str(door.studio.folder), "PYTHONPATH": str(ROOT)}
    pipe: Any = subprocess.PIPE
    return finished(
        subprocess.Popen(
            door.studio.argv(*words),
            text=True,
            env={**plain, **env},
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
        )
    )


def test_only_cron_s_runs_use_the_key_even_beside_an_agent(door: Restricted) -> None:
    assert run(door, "--cron", "reconcile", "-q", "--check") == Answer(0, "", "")
    refused = run(door, "--cron", "list", "--json")
    assert (refused.exit, refused.error["kind"]) == (4, "LoginRefused")
    assert run(door, "list", "--json").exit == 0
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    env = dict(part.split("=", 1) for part in agent.split(";") if "=" in part and " " not in part)
    env = {key.strip(): value for key, value in env.items()}
    try:
        add = ["ssh-add", str(door.server.client_key)]
        subprocess.run(add, env={**env, "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)
        assert run(door, "--cron", "list", "--json", **env).exit == 4
    finally:
        subprocess.run(["ssh-agent", "-k"], env={**env, "PATH": "/usr/bin:/bin"}, check=True)


def test_an_edited_host_file_is_reported_once(door: Restricted) -> None:
    path = door.studio.hosts_dir / "studio.toml"
    text = path.read_text()
    path.write_text(text.replace("[slots.", "[slots.", 1).replace('name = "slot-', 'name = "s-'))
    cron = ("--cron", "reconcile", "-q", "--check")
    first, again = run(door, *cron), run(door, *cron)
    assert "warning: the host file's slots changed since this key was authorized" in first.stdout
    assert len(first.stdout.splitlines()) == 1 and first.exit == 0
    assert again == Answer(0, "", "")
    path.write_text(text)
    assert run(door, *cron).stdout.startswith("resolved: warning: the host file's slots changed")
    assert run(door, *cron) == Answer(0, "", "")


def test_authorize_takes_the_key_of_the_table_and_proposes_the_table(door: Restricted) -> None:
    plain = door.studio.mlxops("authorize", "--verbs", "status,reconcile")
    assert plain.result["line"].endswith(door.public.read_text().strip())
    path = door.studio.hosts_dir / "studio.toml"
    path.write_text(path.read_text().partition("\n[cron]\n")[0])
    words = ("authorize", "--verbs", "status,reconcile", "--key", str(door.public))
    told = finished(door.studio.start(*words)).stderr
    assert f"[cron]\n  identity_file = {json.dumps(str(door.key))}" in told
    assert f"add to {path}" in told


def test_a_key_that_does_not_exist_is_named(door: Restricted) -> None:
    door.key.rename(f"{door.key}.gone")
    door.public.rename(f"{door.public}.gone")
    missing = run(door, "--cron", "reconcile", "-q")
    assert missing.exit == 2 and f"identity_file {door.key} does not exist" in missing.stderr
    assert run(door, "reconcile", "-q").exit == 0
