"""Questions to another host: whatever answers, the caller gets a reason in time, and no ssh process
stays."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlxops.agent.errors import Failed, HostUnreachable, Interrupted, LinkLost, MlxopsError
from mlxops.agent.ranks import peers
from mlxops.agent.ranks.peers import ask_all
from tests.support.launching import Launcher, context
from tests.support.procs_actors import eventually
from tests.support.survivors import living

# What a host's stub does: it reads itself and the head of the call, and answers behind the call's
# marker.
STUB = """#!{python}
import sys
sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
print(sys.stdin.buffer.readline().split()[0].decode(), {said!r}, flush=True)
"""
Ssh = Callable[[str], None]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """Replaces ssh by a program."""
    program = tmp_path / "tools" / "ssh"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    def put(text: str) -> None:
        program.write_text(text)
        program.chmod(0o755)

    return put


def refusal(folder: Path) -> MlxopsError:
    """The error of a question to that host."""
    light = Launcher(folder, "mlx_lm.server")
    with (
        context(light, folder, light.procs) as it,
        ask_all(it.site, [("far", {})], 60) as asked,
        pytest.raises(MlxopsError) as refused,
    ):
        asked[0].answer.wait()
    return refused.value


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ("FAIL cannot write there", Failed, "far: cannot write there"),
        (
            "OLD 3.8.2 /usr/bin/python3",
            Failed,
            "far: the agent needs Python 3.9 or later; this is Python 3.8.2",
        ),
        ("OK", HostUnreachable, "cannot reach far: the connection ended"),
    ],
)
def test_what_the_stub_there_says_is_told(
    answer: str, kind: type, said: str, ssh: Ssh, tmp_path: Path
) -> None:
    ssh(STUB.format(python=sys.executable, said=answer))
    error = refusal(tmp_path)
    assert type(error) is kind and error.message.startswith(said) and error.hint


def test_a_login_that_talks_without_end_is_given_up(
    ssh: Ssh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "HANDSHAKE_TIMEOUT_S", 0.5)
    ssh("#!/bin/sh\nexec yes\n")
    error = refusal(tmp_path)
    assert type(error) is LinkLost and "did not answer in time" in error.message
    assert not living(tmp_path)


def test_who_does_not_answer_is_left_at_once(ssh: Ssh, tmp_path: Path) -> None:
    """And so are all the others."""
    ssh("#!/bin/sh\nexec sleep 600\n")
    light = Launcher(tmp_path, "mlx_lm.server")
    pressed: list[float] = []

    def cancel() -> None:
        eventually(lambda: len(living(tmp_path)) == 2)
        pressed.append(time.monotonic())
        raise Interrupted("cancelled")

    with (
        context(light, tmp_path, light.procs) as it,
        pytest.raises(Interrupted),
        ask_all(it.site, [("far", {}), ("farther", {})], 60) as asked,
    ):
        asked[0].answer.wait(cancel)
    assert not living(tmp_path) and time.monotonic() - pressed[0] < peers.EXIT_TIMEOUT_S


def test_without_an_ssh_each_answer_says_so(ssh: Ssh, tmp_path: Path) -> None:
    ssh("#!/nonexistent\n")
    assert "cannot start ssh" in refusal(tmp_path).message
