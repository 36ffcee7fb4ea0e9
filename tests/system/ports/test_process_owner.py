"""Another user's process is foreign to every verb, also for root, whatever its command line says; a
failed load restarts only what this user ran."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.procs import local_procs
from tests.support.accounts import NEEDS_ROOT, Account, copy_code
from tests.support.asking import ask, refusal, rows
from tests.support.fakeruntime import FakeRuntime
from tests.support.studio import Studio, eventually


@pytest.fixture
def studio_runtime(light: FakeRuntime) -> dict[str, Any]:
    return light.table(startup_timeout_s=20)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    folder.chmod(0o755)
    copy_code(folder)
    return folder


@pytest.fixture
def mallory(tmp_path: Path, code: Path) -> Iterator[Account]:
    with Account("atkm", tmp_path, code) as account:
        yield account


@pytest.fixture
def operator(tmp_path: Path, code: Path) -> Iterator[Account]:
    with Account("atks", tmp_path, code) as account:
        yield account


def serve(
    account: Account | None, runtime: FakeRuntime, studio: Studio, name: str, port: int
) -> Any:
    """Start a server by hand that looks like one of the entry, and wait until it listens."""
    argv = runtime.argv(studio.entry(name)["cache_path"], port)
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = account.run(*argv) if account else subprocess.Popen(argv, **quiet)
    eventually(lambda: any(ln.pid == process.pid for ln in local_procs().listeners([port])))
    return process


@NEEDS_ROOT
def test_another_users_server_of_our_model_is_foreign_to_every_verb(
    one: Studio, mallory: Account
) -> None:
    port, before = one.ports[0], one.registry()
    impostor = serve(mallory, mallory.runtime(), one, "amber", port)
    told = ask(one, "init")
    assert told["actions"] == [] and one.registry() == before
    assert [(d["drift"], d["port"]) for d in told["drift"]] == [("foreign", port)]
    assert f"run mlxops as {mallory.name}" in told["drift"][0]["reason"]
    row = rows(one)[port]
    assert (row["drift"], row["entry"]) == ("foreign", None)
    assert f"pid {impostor.pid} (user {mallory.name})" in row["reason"]
    for verb, args in (
        ("load", {"model": "amber"}),
        ("load", {"model": "jade", "replace": True}),
        ("unload", {}),
    ):
        refused = refusal(one, verb, port=port, **args)
        assert refused.kind == "ForeignListener" and refused.exit_code == 7
        assert f"run mlxops as {mallory.name}" in refused.hint
    done = {row["port"]: row for row in ask(one, "unload-all")["ports"]}
    assert done[port]["error"]["kind"] == "ForeignListener"
    assert impostor.poll() is None and one.registry() == before


@NEEDS_ROOT
def test_an_impostor_that_takes_the_port_of_a_dead_server_is_not_taken_for_it(
    one: Studio, mallory: Account
) -> None:
    port = one.ports[0]
    ask(one, "load", model="amber", port=port)
    pid = one.entry("amber")["process"]["pid"]
    os.kill(pid, 9)
    eventually(lambda: rows(one)[port]["state"] == "failed")
    impostor = serve(mallory, mallory.runtime(), one, "amber", port)
    assert rows(one)[port]["drift"] == "foreign"
    assert refusal(one, "load", model="amber", port=port).kind == "ForeignListener"
    assert impostor.poll() is None


@NEEDS_ROOT
def test_another_users_server_that_does_not_listen_yet_is_in_the_way_and_left_alone(
    one: Studio, mallory: Account
) -> None:
    """It is still loading: another load would give the port two servers."""
    port, fake = one.ports[0], mallory.runtime("mlx-openai-server")
    fake.behaves(load_s=600, child=False)
    mallory.owns(mallory.home)
    argv = [*fake.command, "--model-path", one.entry("amber")["cache_path"], "--port", port]
    loading = mallory.run(*argv)
    eventually(lambda: rows(one)[port]["drift"] == "foreign")
    assert refusal(one, "load", model="amber", port=port).kind == "ForeignListener"
    assert refusal(one, "unload", port=port).kind == "ForeignListener"
    assert loading.poll() is None


@NEEDS_ROOT
def test_root_and_the_user_each_work_on_their_own_servers_only(
    one: Studio, operator: Account
) -> None:
    """As after one command with sudo, or from root's crontab: the error names the user to run it
    as."""
    port, other = one.ports[:2]
    ask(one, "load", model="amber", port=other)
    roots = str(shutil.move(one.state_dir, one.folder.with_name("roots")))
    one.runtime["command"] = operator.runtime().command
    one.state_dir.mkdir()
    one.describe(python=operator.python)
    for folder in (one.hf_home, one.state_dir):
        operator.owns(folder)
    loaded = operator.mlxops(one, "load", "jade", port)
    assert loaded.exit == 0, loaded
    server = one.entry("jade")["process"]["pid"]
    answer = operator.mlxops(one, "unload", other)
    assert (answer.exit, answer.error["kind"]) == (7, "ForeignListener"), answer
    assert "run mlxops as root" in answer.error["hint"]
    status = operator.mlxops(one, "status").result["ports"]
    assert [(row["drift"], row["entry"]) for row in status[:2]] == [
        (None, "jade"),
        ("foreign", "amber"),
    ]
    one.describe(python=operator.python, state_dir=roots)
    refused = refusal(one, "unload", port=port)
    assert refused.kind == "ForeignListener" and f"run mlxops as {operator.name}" in refused.hint
    assert refusal(one, "load", model="topaz", port=port, replace=True).kind == "ForeignListener"
    assert ask(one, "reconcile")["actions"] == [] and rows(one)[port]["drift"] == "foreign"
    assert local_procs().process(server) is not None and one.assignments() == {
        "amber": other,
        "jade": port,
    }
    one.describe(python=operator.python)
    assert operator.mlxops(one, "unload", port).exit == 0
    one.describe(python=operator.python, state_dir=roots)


def other_program(folder: Path, light: FakeRuntime) -> FakeRuntime:
    """A program with the runtime's name that is not the host's program."""
    made = FakeRuntime(folder / "other" / "bin", light.program.name)
    return made


@pytest.mark.slow
def test_a_server_of_another_program_is_not_started_again_by_its_words(
    one: Studio, light: FakeRuntime, tmp_path: Path
) -> None:
    port, other = one.ports[0], other_program(tmp_path, light)
    with serve(None, other, one, "amber", port) as server:
        try:
            light.behaves("tiny--jade", die_after_s=0)
            refused = refusal(one, "load", model="jade", port=port, replace=True)
            assert refused.kind == "PortBusy" and "could not be restarted" in refused.message
            assert "--no-rollback" in refused.hint and server.poll() is None
            planned = ask(one, "load", model="jade", port=port, replace=True, dry_run=True)
            assert planned["refused"]["kind"] == "PortBusy" and server.poll() is None
            failed = refusal(one, "load", model="jade", port=port, replace=True, rollback=False)
            assert failed.kind == "NotReady" and failed.fields["rollback"] == "the port is empty"
        finally:
            server.kill()
    assert len(other.journal("started")) == 1


@pytest.mark.slow
def test_an_adopted_server_comes_back_by_its_entrys_own_command(
    one: Studio, light: FakeRuntime, tmp_path: Path
) -> None:
    port, other = one.ports[0], other_program(tmp_path, light)
    with serve(None, other, one, "amber", port) as server:
        try:
            assert [a["action"] for a in ask(one, "init")["actions"]] == ["adopt"]
            light.behaves("tiny--jade", die_after_s=0)
            failed = refusal(one, "load", model="jade", port=port, replace=True)
            assert "amber serves again" in failed.message, failed.message
        finally:
            server.kill()
    assert len(other.journal("started")) == 1
    assert [record["argv"][0] for record in light.journal("started")][-1] == str(light.program)
    assert rows(one)[port]["drift"] is None and one.assignments() == {"amber": port}


@pytest.mark.slow
def test_an_orphan_of_the_hosts_own_program_comes_back_as_it_was(
    one: Studio, light: FakeRuntime
) -> None:
    port = one.ports[0]
    with serve(None, light, one, "amber", port) as server:
        try:
            light.behaves("tiny--jade", die_after_s=0)
            failed = refusal(one, "load", model="jade", port=port, replace=True)
            assert "serves again" in failed.message, failed.message
        finally:
            server.kill()
    started = [record["argv"] for record in light.journal("started")]
    assert started[0] == started[-1] and len(started) == 3


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["program", "interpreter", "option"])
def test_a_record_that_another_account_changed_starts_nothing(
    one: Studio, light: FakeRuntime, tmp_path: Path, manner: str
) -> None:
    """A registry shared by a group: pid and start time are right, but another account wrote the
    command line."""
    port, evil = one.ports[0], tmp_path / "evil" / "mlx_lm.server"
    ask(one, "load", model="amber", port=port)
    evil.parent.mkdir()
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/EVIL\n")
    evil.chmod(0o755)
    words = one.entry("amber")["process"]["argv"]
    forged = {
        "program": [str(evil), *words[1:]],
        "interpreter": [str(shutil.copy(evil, evil.parent / "python3")), *words],
        "option": [*words, "--trust-remote-code"],
    }[manner]
    one.edit(lambda registry: registry["models"]["amber"]["process"].update(argv=forged))
    light.behaves("tiny--jade", die_after_s=0)
    failed = refusal(one, "load", model="jade", port=port, replace=True)
    assert "amber serves again" in failed.message
    started = [record["argv"] for record in light.journal("started")]
    assert started[-1] == started[0] and not (tmp_path / "EVIL").exists()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o644, 0o664])
def test_a_link_that_is_changed_after_the_check_starts_nothing(
    one: Studio, light: FakeRuntime, tmp_path: Path, mode: int
) -> None:
    """A rollback runs the host's program, by the host's own path."""
    port, evil, link = one.ports[0], tmp_path / "evil.sh", tmp_path / "mlx_lm.server"
    ask(one, "load", model="amber", port=port)
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/EVIL\n")
    evil.chmod(0o755)
    link.symlink_to(light.program)
    forged = [str(link), *one.entry("amber")["process"]["argv"][1:]]
    one.edit(lambda registry: registry["models"]["amber"]["process"].update(argv=forged))
    one.registry_path.chmod(mode)
    light.behaves("tiny--jade", load_s=600, die_after_s=2)
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(refusal, one, "load", model="jade", port=port, replace=True)
        eventually(lambda: len(light.journal("started")) == 2)
        draft = link.with_name("draft")
        draft.symlink_to(evil)
        draft.replace(link)
        assert "amber serves again" in failed.result().message
    started = [record["argv"] for record in light.journal("started")]
    assert started[-1] == started[0] and not (tmp_path / "EVIL").exists()
    assert rows(one)[port]["drift"] is None and one.assignments() == {"amber": port}


def test_of_a_shared_registry_only_the_entry_says_how_a_server_comes_back(
    one: Studio, light: FakeRuntime
) -> None:
    """Words split at another place look the same in `ps`, but are other options."""
    port = one.ports[0]
    given = ["--chat-template-args", '{"enable_thinking": false}']
    one.edit(lambda registry: registry["models"]["amber"].update(args=given))
    ask(one, "load", model="amber", port=port)
    words = one.entry("amber")["process"]["argv"]
    forged = [part for word in words for part in word.split()]
    assert forged != words
    one.edit(lambda registry: registry["models"]["amber"]["process"].update(argv=forged))
    one.registry_path.chmod(0o664)
    light.behaves("tiny--jade", die_after_s=0)
    failed = refusal(one, "load", model="jade", port=port, replace=True)
    assert "amber serves again" in failed.message
    started = [record["argv"] for record in light.journal("started")]
    assert started[-1] == started[0] and one.entry("amber")["process"]["argv"] == words


def test_a_template_that_is_no_file_keeps_no_load_waiting(
    one: Studio, light: FakeRuntime, tmp_path: Path
) -> None:
    """The template of the model to restore, which another account can name in the registry."""
    port, fifo = one.ports[0], tmp_path / "template.jinja"
    os.mkfifo(fifo)
    with serve(None, light, one, "amber", port) as server:
        try:
            ask(one, "init")
            one.edit(lambda registry: registry["models"]["amber"].update(chat_template=str(fifo)))
            refused = refusal(one, "load", model="jade", port=port, replace=True)
            assert (
                refused.kind == "PortBusy"
                and f"cannot read the chat template {fifo} as text" in refused.message
            )
            assert server.poll() is None
        finally:
            server.kill()


@pytest.mark.slow
def test_a_file_of_ours_that_a_shared_registry_names_is_not_shown_to_everybody(
    one: Studio, light: FakeRuntime, tmp_path: Path
) -> None:
    """mlx_lm.server takes a template as text, and every user can read a command line."""
    port, secret = one.ports[0], tmp_path / "secret"
    secret.write_text("only ours")
    one.edit(lambda registry: registry["models"]["jade"].update(chat_template=str(secret)))
    one.registry_path.chmod(0o664)
    ask(one, "load", model="amber", port=port)
    refused = refusal(one, "load", model="jade", port=port, replace=True)
    assert (
        str(secret) in refused.message
        and "other accounts can write the registry" in refused.message
    )
    assert light.journal("signal") == [] and len(light.journal("started")) == 1
    one.registry_path.chmod(0o644)
    ask(one, "load", model="jade", port=port, replace=True)


@pytest.mark.parametrize(("text", "why"), [("x" * 200_000, "200000 bytes"), ("a\0b", "NUL byte")])
def test_a_template_that_no_command_line_can_hold_stops_nothing(
    one: Studio, light: FakeRuntime, tmp_path: Path, text: str, why: str
) -> None:
    port, template = one.ports[0], tmp_path / "template.jinja"
    template.write_text(text)
    ask(one, "load", model="amber", port=port)
    one.edit(lambda registry: registry["models"]["jade"].update(chat_template=str(template)))
    refused = refusal(one, "load", model="jade", port=port, replace=True)
    assert why in refused.message and light.journal("signal") == []
