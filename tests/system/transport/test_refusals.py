"""Each failure to log in has its own message, and its hint works."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import HostKeyRefused, HostUnreachable, LoginRefused, MlxopsError
from tests.support.clientside import SshAgent, host_for, run_there, ssh_config
from tests.support.ports import free_range
from tests.support.sshd import Sshd, make_key

pytestmark = pytest.mark.openssh
HELLO = "print('hello')"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def refused(server: Sshd, **ssh: Any) -> MlxopsError:
    with pytest.raises(MlxopsError) as caught:
        run_there(host_for(server, Path("/unused"), **ssh), HELLO)
    assert caught.value.hint
    return caught.value


def follow(hint: str) -> None:
    """Run the command that comes last in a hint, and answer yes."""
    before, _, ssh = hint.rpartition("answer yes to: ")[2].rpartition("ssh -")
    command = f"{before}ssh -o StrictHostKeyChecking=accept-new -{ssh}"
    subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, timeout=30)


def test_unknown_host_key_names_the_fingerprint_and_the_command_that_trusts_it(
    server: Sshd,
) -> None:
    server.known_hosts.write_text("")
    fault = refused(server)
    assert isinstance(fault, HostKeyRefused)
    printed = subprocess.run(
        ["ssh-keygen", "-lf", str(server.host_key)], capture_output=True, text=True
    ).stdout
    assert fault.fields["fingerprint"] in printed and fault.fields["fingerprint"] in fault.message
    assert fault.fields["verdict"] == "unknown"
    follow(fault.hint)
    assert run_there(host_for(server, Path("/unused")), HELLO) == "hello\n"


def test_changed_host_key_is_refused_until_the_hint_is_followed(
    server: Sshd, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()[:2]
    server.known_hosts.write_text(f"# mine\n[127.0.0.1]:{server.port} {' '.join(other)}\n")
    fault = refused(server)
    assert isinstance(fault, HostKeyRefused)
    assert "CHANGED" in fault.message and f"{server.known_hosts}, line 2" in fault.message
    follow(fault.hint)
    assert run_there(host_for(server, Path("/unused")), HELLO) == "hello\n"


def test_revoked_host_key_is_refused_though_it_is_listed(server: Sshd) -> None:
    line = server.known_line()
    server.known_hosts.write_text(f"{line}@revoked * {line.partition(' ')[2]}")
    fault = refused(server)
    assert isinstance(fault, HostKeyRefused)
    assert "revoked" in fault.message and "answer yes" not in fault.hint


def test_stricthostkeychecking_no_does_not_open_the_door(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", ssh_config(tmp_path / "bin", "Host *\n  StrictHostKeyChecking no\n"))
    server.known_hosts.write_text("")
    assert isinstance(refused(server), HostKeyRefused)


@pytest.mark.parametrize(
    "form", ["hashed", "wildcard", "plain name", "among others", "marked lines"]
)
def test_known_hosts_in_all_its_forms(server: Sshd, tmp_path: Path, form: str) -> None:
    rsa = make_key(tmp_path / "rsa", "rsa").with_suffix(".pub").read_text().split()[:2]
    mine, key = server.known_line().split(" ", 1)
    texts = {
        "hashed": server.known_line(),
        "wildcard": f"[127.0.0.*]:* {key}",
        "plain name": f"127.0.0.1 {key}",
        "among others": f"{mine} {' '.join(rsa)}\n{server.known_line()}",
        "marked lines": (
            f"@cert-authority * {key}@revoked * {' '.join(rsa)}\nbroken\n{server.known_line()}"
        ),
    }
    server.known_hosts.write_text(texts[form])
    if form == "hashed":
        subprocess.run(
            ["ssh-keygen", "-q", "-H", "-f", str(server.known_hosts)],
            check=True,
            capture_output=True,
        )
    assert run_there(host_for(server, Path("/unused")), HELLO) == "hello\n"


def test_rejected_key(server: Sshd, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger")
    fault = refused(server, identity_file=str(stranger))
    assert isinstance(fault, LoginRefused)
    assert fault.fields["cause"] == "rejected" and str(stranger) in fault.message


def test_encrypted_key_needs_an_agent(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path / "locked", passphrase="secret")
    server.authorize(key)
    fault = refused(server, identity_file=str(key))
    assert isinstance(fault, LoginRefused)
    assert fault.fields["cause"] == "passphrase" and f"ssh-add {key}" in fault.hint
    with SshAgent(tmp_path) as agent:
        agent.add(key, "secret")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.socket))
        assert (
            run_there(host_for(server, Path("/unused"), identity_file=str(key)), HELLO) == "hello\n"
        )


def test_identities_only_keeps_the_agent_s_other_keys_back(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SshAgent(tmp_path) as agent:
        # One more than sshd lets a client try.
        for number in range(6):
            agent.add(make_key(tmp_path / f"other{number}"))
        agent.add(server.client_key)
        config = f"Host *\n  IdentityFile {server.client_key}\n  IdentityAgent {agent.socket}\n"
        monkeypatch.setenv("PATH", ssh_config(tmp_path / "bin", config + "  IdentitiesOnly yes\n"))
        server.client_key.unlink()
        assert run_there(host_for(server, Path("/unused"), identity_file=None), HELLO) == "hello\n"
        monkeypatch.setenv("PATH", ssh_config(tmp_path / "bin", config))
        assert run_there(host_for(server, Path("/unused"), identity_file=None), HELLO) == "hello\n"


def test_no_key_at_all(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ssh_config(tmp_path / "bin", "Host *\n  IdentityFile none\n"))
    fault = refused(server, identity_file=None)
    assert isinstance(fault, LoginRefused) and fault.fields["cause"] == "no key"
    assert fault.fields["allowed"] == ["publickey"]


def test_a_mac_locked_by_filevault(tmp_path: Path) -> None:
    banner = tmp_path / "banner"
    banner.write_text(
        "This system is locked. To unlock it, use a local account name and password.\n"
    )
    with Sshd(tmp_path / "sshd", extra=(f"Banner {banner}",)) as server:
        server.authorized_keys.write_text("")
        fault = refused(server)
    assert isinstance(fault, LoginRefused)
    assert fault.fields["cause"] == "locked" and "This system is locked" in fault.message


def test_name_that_does_not_resolve(server: Sshd) -> None:
    fault = refused(server, host="studio.invalid")
    assert isinstance(fault, HostUnreachable) and fault.fields["cause"] == "dns"


def test_refused_port(server: Sshd) -> None:
    fault = refused(server, port=free_range(1)[0])
    assert isinstance(fault, HostUnreachable) and fault.fields["cause"] == "refused"


def test_black_hole_ends_after_the_connect_timeout(server: Sshd) -> None:
    with socket.socket() as hole, socket.socket() as first, socket.socket() as second:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        # A full backlog drops every further SYN, as a firewall would.
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        started = time.monotonic()
        fault = refused(server, port=hole.getsockname()[1], connect_timeout_s=1.0)
        assert 0.9 < time.monotonic() - started < 5
    assert isinstance(fault, HostUnreachable) and fault.fields["cause"] == "timeout"


def test_port_that_takes_connections_and_says_nothing(server: Sshd) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        started = time.monotonic()
        fault = refused(server, port=mute.getsockname()[1], connect_timeout_s=1.0)
        assert time.monotonic() - started < 6
    assert isinstance(fault, HostUnreachable) and fault.fields["cause"] == "banner"


def test_ssh_config_of_a_connect_timeout_wins(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", ssh_config(tmp_path / "bin", "Host *\n  ConnectTimeout 1\n"))
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        started = time.monotonic()
        assert isinstance(refused(server, port=mute.getsockname()[1]), HostUnreachable)
        assert time.monotonic() - started < 6


def test_hint_for_an_alias_is_ssh_itself(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = f"Host st\n  HostName 127.0.0.1\n  Port {server.port}\n  HostKeyAlias the-studio\n"
    monkeypatch.setenv("PATH", ssh_config(tmp_path / "bin", config))
    fault = refused(server, host="st", port=None)
    assert isinstance(fault, HostKeyRefused)
    assert fault.hint.endswith("st true")
    server.known_hosts.write_text(server.known_line("the-studio"))
    assert run_there(host_for(server, Path("/unused"), host="st", port=None), HELLO) == "hello\n"


class Jump:
    """A host behind another: only the second server's ssh reaches the first."""

    def __init__(self, folder: Path, target: Sshd) -> None:
        self.server = Sshd(folder / "jump", extra=("AllowTcpForwarding yes",))
        self.known = folder / "jump_known"
        self.known.write_text(self.server.known_line())
        self.config = (
            f"Host jump\n  HostName 127.0.0.1\n  Port {self.server.port}\n"
            f"  User {self.server.user}\n"
            f"  IdentityFile {self.server.client_key}\n  UserKnownHostsFile {self.known}\n"
            f"Host st\n  HostName 127.0.0.1\n  Port {target.port}\n  ProxyJump jump\n"
        )


@pytest.fixture
def jump(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jump]:
    jump = Jump(tmp_path, server)
    monkeypatch.setenv("PATH", ssh_config(tmp_path / "bin", jump.config))
    with jump.server:
        yield jump


def test_proxy_jump(server: Sshd, jump: Jump) -> None:
    host = host_for(server, Path("/unused"), host="st", port=None)
    assert run_there(host, HELLO) == "hello\n"
    assert "Accepted publickey" in jump.server.log.read_text()


def test_proxy_jump_that_is_down(server: Sshd, jump: Jump) -> None:
    jump.server.stop()
    started = time.monotonic()
    fault = refused(server, host="st", port=None)
    assert time.monotonic() - started < 5
    assert isinstance(fault, HostUnreachable) and fault.fields["cause"] == "proxy"
    assert "Connection refused" in fault.message


def test_proxy_jump_of_unknown_key(server: Sshd, jump: Jump) -> None:
    jump.known.write_text("")
    fault = refused(server, host="st", port=None)
    assert isinstance(fault, HostKeyRefused) and "Host key verification failed" in fault.message


def test_proxy_jump_that_rejects_the_login(server: Sshd, jump: Jump) -> None:
    jump.server.authorized_keys.write_text("")
    fault = refused(server, host="st", port=None)
    assert isinstance(fault, LoginRefused) and "Permission denied" in fault.message


def test_proxy_command(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = f"Host st\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyCommand nc %h %p\n"
    relay = (
        "import socket,sys,threading,os\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
        "def up():\n  while b:=os.read(0,65536): s.sendall(b)\n  s.shutdown(1)\n"
        "threading.Thread(target=up,daemon=True).start()\nwhile b:=s.recv(65536): os.write(1,b)\n"
    )
    path = ssh_config(tmp_path / "bin", config.replace("nc", f"python3 {tmp_path / 'relay.py'}"))
    (tmp_path / "relay.py").write_text(relay)
    monkeypatch.setenv("PATH", path)
    assert run_there(host_for(server, Path("/unused"), host="st", port=None), HELLO) == "hello\n"
