"""A key restricted to some verbs, on a real sshd: what it can do, and what it cannot."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlxops import bundle, session, transport
from mlxops.agent import main
from mlxops.agent.errors import LoginRefused, MlxopsError
from mlxops.agent.restricted import grant
from mlxops.agent.restricted import install as authorized
from mlxops.agent.wire import codec as wire
from mlxops.agent.wire.codec import frame
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import free_range
from tests.support.restricted import Restricted

pytestmark = pytest.mark.openssh
LOGIN = "127.0.0.1"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restricted]:
    """A host whose cron key may run status and reconcile."""
    folder = tmp_path_factory.mktemp("restricted")
    runtime = {
        "name": "mlx-openai-server",
        "command": FakeRuntime(folder / "bin").command,
        "env": {"SECRET": "hush"},
    }
    door = Restricted(folder, runtime)
    with door.server:
        door.authorize()
        registry = {"version": 1, "models": {"amber": {"repo_id": "tiny/amber", "port": None}}}
        door.studio.registry_path.write_text(json.dumps(registry))
        yield door


@pytest.fixture(autouse=True)
def nothing_ran(door: Restricted) -> Iterator[None]:
    door.canary.unlink(missing_ok=True)
    yield
    assert not door.canary.exists()


def test_cron_reconciles_with_the_restricted_key(door: Restricted) -> None:
    port = door.studio.ports[0]
    door.studio.edit(lambda registry: registry["models"]["amber"].update(port=port))
    first = door.mlxops("reconcile", "-q")
    assert (first.exit, first.stderr) == (0, "") and f"freed {port} (amber)" in first.stdout
    assert door.studio.assignments() == {}
    assert door.mlxops("reconcile", "-q") == type(first)(0, "", "")
    assert (
        "(restricted key)"
        in door.studio.registry_path.with_name("registry.history.jsonl").read_text()
    )


def test_status_is_the_same_with_either_key(door: Restricted) -> None:
    free, restricted = (
        door.studio.must("status")["ports"],
        door.mlxops("status", "--json").result["ports"],
    )
    assert restricted == free and [row["port"] for row in free] == door.studio.ports


@pytest.mark.parametrize(
    "verb", sorted({*main.VERBS, "authorize", "nonsense"} - {"status", "watch", "reconcile"})
)
def test_every_other_verb_is_refused(door: Restricted, verb: str) -> None:
    before = door.studio.registry_path.read_bytes()
    with pytest.raises(
        LoginRefused, match="may only run reconcile, status on studio, not"
    ) as refused:
        door.call(
            verb, {"name": "x", "repo": "a/b", "port": door.studio.ports[0], "verbs": ["status"]}
        )
    assert refused.value.fields["verbs"] == ["reconcile", "status"]
    assert door.studio.registry_path.read_bytes() == before


def test_a_refused_verb_ends_with_the_status_of_a_refused_login(door: Restricted) -> None:
    answer = door.mlxops("unload-all", "--json")
    assert (answer.exit, answer.error["kind"]) == (4, "LoginRefused")


def shell(door: Restricted, key: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return door.openssh("ssh", key, *options, LOGIN, f"touch {door.canary}")


def test_a_shell_command_is_not_run(door: Restricted) -> None:
    refused = shell(door, door.key)
    assert refused.returncode == 77
    assert refused.stderr.endswith(
        "mlxops: this key is for `mlxops reconcile` and `mlxops status` only\n"
    )
    assert not door.canary.exists()
    assert shell(door, door.server.client_key).returncode == 0
    assert door.canary.exists(), "the other key runs nothing either: this test proves nothing"
    door.canary.unlink()


def test_there_is_no_terminal(door: Restricted) -> None:
    said = door.openssh("ssh", door.key, "-tt", LOGIN).stderr
    assert "PTY allocation request failed" in said
    assert (
        "PTY" not in door.openssh("ssh", door.server.client_key, "-tt", LOGIN, text="exit\n").stderr
    )


def test_no_file_is_transferred(door: Restricted) -> None:
    put = f"put /etc/hostname {shlex.quote(str(door.canary))}\n"
    refused = door.openssh("sftp", door.key, "-b", "-", LOGIN, text=put)
    assert refused.returncode != 0 and not door.canary.exists()
    assert door.openssh("sftp", door.server.client_key, "-b", "-", LOGIN, text=put).returncode == 0
    assert door.canary.exists(), "the other key transfers nothing either: this test proves nothing"
    door.canary.unlink()


def test_no_port_is_forwarded(door: Restricted) -> None:
    with socket.create_server((LOGIN, 0)) as inner:
        inner.settimeout(10)
        target = f"{LOGIN}:{inner.getsockname()[1]}"
        refused = door.openssh("ssh", door.key, "-W", target, LOGIN)
        assert refused.returncode != 0 and "prohibited" in refused.stderr
        with ThreadPoolExecutor() as pool:
            pool.submit(door.openssh, "ssh", door.server.client_key, "-W", target, LOGIN)
            inner.accept()[0].close()
        inner.settimeout(0.2)
        with pytest.raises(TimeoutError):
            inner.accept()
    back = [
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        f"{free_range(1)[0]}:{LOGIN}:{door.server.port}",
        LOGIN,
    ]
    assert "remote port forwarding failed" in door.openssh("ssh", door.key, *back, "true").stderr
    assert door.openssh("ssh", door.server.client_key, *back, "true").returncode == 0


def heard(door: Restricted, payload: bytes) -> tuple[str, str]:
    """Both output streams of a client that sends only these bytes."""
    done = subprocess.run(
        [
            "ssh",
            "-F",
            "none",
            "-i",
            str(door.key),
            "-o",
            f"UserKnownHostsFile={door.server.known_hosts}",
            "-o",
            "IdentitiesOnly=yes",
            "-p",
            str(door.server.port),
            LOGIN,
            bundle.launch_command(None),
        ],
        input=payload,
        capture_output=True,
        timeout=30,
    )
    return done.stdout.decode(), done.stderr.decode()


def asked(door: Restricted, verb: str = "status", **changes: Any) -> bytes:
    return session.request(door.host, verb, {}).replace(
        b'"protocol":1', wire.encode({"protocol": 1, **changes})[1:-2]
    )


def test_the_client_s_code_is_not_run(door: Restricted) -> None:
    evil = f"open({str(door.canary)!r}, 'w')\n".encode()
    elsewhere = door.canary.with_name("elsewhere")
    opening = (
        frame(evil) + f"MARK {bundle.pack().digest} {elsewhere}\n".encode() + frame(asked(door))
    )
    out, _ = heard(door, opening + frame(evil) + frame(evil) + evil)
    assert out.startswith("MARK OK\n") and "MISS" not in out
    assert not elsewhere.exists()


def test_an_agent_the_host_does_not_know_is_not_taken(door: Restricted) -> None:
    evil = f"open({str(door.canary)!r}, 'w')\n".encode()
    opening = frame(evil) + b"MARK " + b"0" * 64 + b" ~/x\n" + frame(asked(door))
    out, _ = heard(door, opening + frame(evil) + frame(evil))
    marker, said = out.splitlines()
    assert marker == "MARK OK" and json.loads(said)["error"]["kind"] == "LoginRefused"


OTHER = [
    b"",
    b"ls\n",
    b"-1\nx",
    b"99999999999\n",
    b"5\nab",
    b"2\nabMARK\n",
    b"2\nabM h ~\n2\n[]",
    b"\0\0\0\5\1\0",
]


@pytest.mark.parametrize("payload", OTHER)
def test_other_bytes_are_answered_with_what_the_key_is_for(
    door: Restricted, payload: bytes
) -> None:
    out, err = heard(door, payload)
    assert out == "" and "mlxops: this key is for" in err and "Traceback" not in err


def test_the_client_s_word_for_the_host_counts_for_nothing(door: Restricted) -> None:
    program = door.canary.with_name("mlx-openai-server")
    program.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(door.canary))}\n")
    program.chmod(0o755)
    other = {
        "registry": "/nonexistent/registry.json",
        "ports": [1, 2],
        "state_dir": str(door.canary) + "-state",
        "runtime": {
            "name": "mlx-openai-server",
            "command": [str(program)],
            "env": {},
            "grace_s": 1,
        },
    }
    events: list[dict[str, Any]] = []
    seen = door.call("status", {}, events.append, **other)
    assert [row["port"] for row in seen["ports"]] == door.studio.ports
    told = (
        "the host file's registry and state_dir and ports and runtime changed since this key "
        "was authorized"
    )
    assert events[0]["message"] == told + "; run mlxops authorize again"
    assert not Path(other["state_dir"]).exists()


@pytest.mark.parametrize("newer", [{"protocol": 2}, {}])
def test_another_version_is_told_to_authorize_again(
    door: Restricted, newer: dict[str, Any]
) -> None:
    link = transport.open_for(door.host).open(None)
    text = bundle.pack().text + b"" if newer else b"another"
    packed = bundle.Bundle(text, bundle.pack().digest if newer else "f" * 64)
    with pytest.raises(LoginRefused, match="another version") as refused:
        session.converse(door.host, link, packed, asked(door, **newer), lambda event: None)
    assert "mlxops authorize --verbs reconcile,status" in refused.value.hint


def test_what_starts_servers_cannot_be_granted(door: Restricted) -> None:
    for verbs in ("load", "status,set", "authorize", ","):
        answer = door.studio.mlxops("authorize", "--verbs", verbs)
        assert (answer.exit, answer.error["kind"]) == (2, "Usage"), answer
    assert door.studio.must("authorize", "--verbs", "verify", "--dry-run")["verbs"] == ["verify"]


def test_authorize_puts_the_same_in_the_same_place_for_its_owner_only(door: Restricted) -> None:
    again = door.authorize("reconcile,status,status")
    folder = Path(again["folder"])
    assert again["changed"] is False and folder.parent == door.state / "authorized"
    modes = {
        path: path.stat().st_mode & 0o777 for path in [folder.parent, folder, *folder.rglob("*")]
    }
    assert modes == {folder.parent: 0o700, folder: 0o700, folder / "key": 0o600}
    assert "hush" not in (folder / "key").read_text("utf-8", "replace")
    (folder / "key").write_text("damaged by a power cut")
    assert "was changed: authorize this key again" in door.mlxops("status").stderr
    assert door.authorize()["changed"] is True
    assert door.mlxops("status").exit == 0


def test_a_folder_that_somebody_planted_is_not_run(door: Restricted) -> None:
    """As in a folder that others can write to and that something cleans up."""
    folder = Path(door.authorize()["folder"])
    planted = f"open({str(door.canary)!r}, 'w')\n".encode()
    folder.rename(folder.with_name("away"))
    try:
        folder.mkdir(0o700)
        for name in ("__main__.py", "agent.py", "json.py"):
            (folder / name).write_bytes(planted)
        (folder / "key").write_bytes(frame(planted))
        for _ in range(2):
            out, err = heard(door, bundle.pack().handshake("MARK", "/nonexistent", asked(door)))
            assert out == "" and "authorize this key again" in err and not door.canary.exists()
            (folder / "key").unlink(missing_ok=True)
    finally:
        shutil.rmtree(folder)
        folder.with_name("away").rename(folder)


def test_a_dry_run_and_a_key_that_is_there_already(door: Restricted) -> None:
    keys = door.server.home / ".ssh" / "authorized_keys"
    keys.parent.mkdir()
    keys.write_text(f"# comment\n{door.public.read_text()}")
    planned = door.studio.mlxops("authorize", "--verbs", "list", "--key", door.public, "--dry-run")
    shutil.rmtree(keys.parent)
    assert not Path(planned.result["folder"]).exists()
    assert "line 2 of ~/.ssh/authorized_keys gives this key other permissions" in planned.stderr


SHELLS = [found for found in map(shutil.which, ("sh", "bash", "zsh", "dash", "tcsh")) if found]


@pytest.mark.parametrize("program", SHELLS)
def test_the_command_under_every_login_shell(door: Restricted, program: str) -> None:
    command = door.studio.must("authorize", "--verbs", "reconcile,status", "--dry-run")["command"]
    payload = bundle.pack().handshake("MARK", "/nonexistent", asked(door))
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    pipe = subprocess.PIPE
    with subprocess.Popen([program, "-c", command], stdin=pipe, stdout=pipe, env=env) as talk:
        assert talk.stdin and talk.stdout
        talk.stdin.write(payload)
        talk.stdin.flush()
        assert talk.stdout.readline() == b"MARK OK\n"
        assert b'"result"' in talk.stdout.readline()


def test_a_client_that_says_nothing_is_not_waited_for(door: Restricted) -> None:
    folder = door.studio.must("authorize", "--verbs", "reconcile,status", "--dry-run")["folder"]
    code = authorized.LOADER.replace(
        "exec(d[n:n+m])", "exec(d[n:n+m].replace(b'main(text', CHANGED))"
    )
    changed = b"import agent.restricted.serve as f;f.OPENING_TIMEOUT_S=1\nmain(text"
    argv = [sys.executable, "-I", "-S", "-c", code.replace("CHANGED", repr(changed)), folder]
    inner, outer = os.pipe()
    try:
        done = subprocess.run(argv, stdin=inner, capture_output=True, text=True, timeout=20)
    finally:
        os.close(inner)
        os.close(outer)
    assert (
        done.returncode == 77
        and done.returncode != -signal.SIGALRM
        and "this key is for" in done.stderr
    )


def test_a_grant_whose_folder_is_gone_is_told(door: Restricted) -> None:
    folder = Path(door.authorize()["folder"])
    folder.rename(folder.with_name("away"))
    try:
        with pytest.raises(MlxopsError, match="without an answer") as lost:
            door.call("status", {})
    finally:
        folder.with_name("away").rename(folder)
    assert folder.name in lost.value.message


def test_only_verbs_that_start_nothing_are_on_the_list() -> None:
    assert set(grant.GRANTABLE) <= set(main.VERBS)
    assert not {"load", "register", "set", "remove", "authorize"} & set(grant.GRANTABLE)
