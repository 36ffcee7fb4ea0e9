"""The output of `ssh -G` as settings; in the last tests it comes from the real ssh."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from mlxops.agent.errors import HostUnreachable, MlxopsError, Usage
from mlxops.hosts.files import Ssh
from mlxops.transport import settings
from mlxops.transport.connect import jump_argv, proxy_argv

HOME = pwd.getpwuid(os.getuid()).pw_dir
BASE = "host studio\nuser bob\nhostname 10.0.0.2\nport 2222\nproxyjump none\n"


def parsed(more: str = "", env: dict[str, str] | None = None, **ssh: object) -> settings.Settings:
    return settings.parse_settings(BASE + more, Ssh("studio", **ssh), env or {})  # type: ignore[arg-type]


def test_the_plain_case() -> None:
    seen = parsed(
        "identityfile ~/.ssh/id_a\nidentityfile ~/.ssh/id_b\nidentitiesonly yes\n"
        "connecttimeout none\n"
    )
    assert (seen.hostname, seen.port, seen.user) == ("10.0.0.2", 2222, "bob")
    assert seen.identity_files == (f"{HOME}/.ssh/id_a", f"{HOME}/.ssh/id_b")
    assert seen.identities_only
    assert seen.proxy_jump is None and seen.proxy_command is None
    assert seen.key_names == ("[10.0.0.2]:2222", "10.0.0.2")
    assert seen.connect_timeout_s == 10.0


def test_tokens_variables_and_tilde() -> None:
    seen = parsed(
        "identityfile %d/keys/%r@%h-%p-%%h\nidentityfile ${KEYS}/x\nidentityfile none\n",
        {"KEYS": "/k"},
    )
    assert seen.identity_files == (f"{HOME}/keys/bob@10.0.0.2-2222-%h", "/k/x")


@pytest.mark.parametrize(
    ("line", "agent"),
    [
        ("", "/run/agent"),
        ("identityagent SSH_AUTH_SOCK\n", "/run/agent"),
        ("identityagent none\n", None),
        ("identityagent $OTHER\n", "/run/other"),
        ("identityagent ~/agent\n", f"{HOME}/agent"),
    ],
)
def test_which_agent(line: str, agent: str | None) -> None:
    assert (
        parsed(line, {"SSH_AUTH_SOCK": "/run/agent", "OTHER": "/run/other"}).identity_agent == agent
    )


def test_connect_timeout_of_ssh_config_wins() -> None:
    assert parsed("connecttimeout 3\n", connect_timeout_s=7.5).connect_timeout_s == 3
    assert parsed("connecttimeout none\n", connect_timeout_s=7.5).connect_timeout_s == 7.5


def test_known_hosts_files(tmp_path: Path) -> None:
    spaced = tmp_path / "known hosts"
    spaced.touch()
    assert parsed("userknownhostsfile /a /b\nglobalknownhostsfile none\n").known_hosts == (
        "/a",
        "/b",
    )
    assert parsed(f"userknownhostsfile {spaced}\n").known_hosts == (str(spaced),)
    own = parsed("userknownhostsfile /a\nglobalknownhostsfile /g\n", known_hosts_file="/own")
    assert own.known_hosts == ("/own", "/g")


def test_host_key_alias_is_the_name_in_known_hosts() -> None:
    assert parsed("hostkeyalias Studio\n").key_names == ("studio",)


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("proxyjump mini", ["-W", "[10.0.0.2]:2222", "--", "mini"]),
        (
            "proxyjump eve@mini:2200",
            ["-W", "[10.0.0.2]:2222", "-l", "eve", "-p", "2200", "--", "mini"],
        ),
        ("proxyjump a,b", ["-J", "a", "-W", "[10.0.0.2]:2222", "--", "b"]),
    ],
)
def test_proxy_jump_is_an_ssh_of_its_own(line: str, argv: list[str]) -> None:
    seen = settings.parse_settings(BASE.replace("proxyjump none\n", "") + line, Ssh("studio"), {})
    assert proxy_argv(seen) == ["ssh", "-o", "BatchMode=yes", *argv]


@pytest.mark.parametrize(
    ("hop", "argv"),
    [
        ("[fe80::1]:22", ["-p", "22", "--", "fe80::1"]),
        ("[fe80::1]", ["--", "fe80::1"]),
        ("fe80::1", ["--", "fe80::1"]),
        ("ssh://eve@mini:22", ["--", "ssh://eve@mini:22"]),
        ("a@b@mini", ["-l", "a@b", "--", "mini"]),
    ],
)
def test_forms_of_a_hop(hop: str, argv: list[str]) -> None:
    assert jump_argv(hop) == argv


def test_proxy_command_is_run_by_the_shell() -> None:
    seen = parsed("proxycommand nc %h %p\n", {"SHELL": "/bin/sh"})
    assert proxy_argv(seen)[1:] == ["-c", "exec nc 10.0.0.2 2222"]


@pytest.mark.openssh
def test_ask_the_real_ssh(tmp_path: Path) -> None:
    key = tmp_path / "eve"
    key.write_text("a key")
    seen = settings.query_ssh(Ssh("studio.invalid", user="eve", port=2022, identity_file=str(key)))
    assert (seen.hostname, seen.user, seen.port) == ("studio.invalid", "eve", 2022)
    assert seen.identity_files == (str(key),)
    assert f"{HOME}/.ssh/known_hosts" in seen.known_hosts


def refusal(host: str, identity_file: str | None = None) -> MlxopsError:
    with pytest.raises(MlxopsError) as caught:
        settings.query_ssh(Ssh(host, identity_file=identity_file))
    return caught.value


def test_an_identity_file_that_is_not_there_is_not_passed_over() -> None:
    fault = refusal("studio", "/absent/key")
    assert isinstance(fault, Usage)
    assert "/absent/key" in fault.message


def test_without_an_ssh_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fault = refusal("studio")
    assert isinstance(fault, HostUnreachable)
    assert "no ssh program" in fault.message


@pytest.mark.openssh
def test_broken_configuration_is_told_in_ssh_s_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("Prt 22\n")
    wrapper = tmp_path / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fault = refusal("studio")
    assert isinstance(fault, Usage)
    assert "prt" in fault.message.lower()
