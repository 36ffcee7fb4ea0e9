"""What went wrong on the homelab with the script this project replaces, each through the real
command line over SSH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops import bundle
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.ports import is_free
from tests.support.studio import Studio, eventually, finished
from tests.support.survivors import living
from tests.support.watching import RegistryWatch, job, refused

LISTENER = (
    "import socket,sys,time; s=socket.create_server(('127.0.0.1',int(sys.argv[1]))); "
    "time.sleep(600)"
)
Begin = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start an unrelated process, which must still run at the end."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(*argv: object) -> subprocess.Popen[bytes]:
        begun.append(
            subprocess.Popen(list(map(str, argv)), cwd=tmp_path, stdout=subprocess.DEVNULL)
        )
        return begun[-1]

    yield start
    survived = [process.poll() is None for process in begun]
    for process in begun:
        process.kill()
        process.wait()
    assert all(survived), "a process that was not ours was ended"


def listen(begin: Begin, port: int) -> subprocess.Popen[bytes]:
    process = begin(sys.executable, "-c", LISTENER, port)
    eventually(lambda: not is_free(port))
    return process


def assign(studio: Studio, name: str, port: int) -> None:
    """A stale assignment, as a crash or a hand edit leaves it."""
    studio.edit(lambda registry: registry["models"][name].update(port=port))


@pytest.mark.slow
def test_a_swap_does_not_write_back_a_stale_copy_of_the_registry(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    first, second, _ = known.ports
    known.must("load", "amber", first)
    fake_runtime.behaves("tiny--jade", load_s=60)
    with RegistryWatch(known) as watch:
        swap = known.start("--json", "load", "jade", first, "--replace")
        job(known, first, "wait")
        known.must("set", "topaz", "tool_call_parser=hermes")
        known.must("load", "topaz", second)
        fake_runtime.behaves("tiny--jade", load_s=0)
        assert finished(swap).exit == 0
    assert watch.faults == []
    assert known.assignments() == {"jade": first, "topaz": second}
    assert known.entry("topaz")["tool_call_parser"] == "hermes"


def test_force_alone_does_not_touch_a_busy_port(known: Studio) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    refused(known.mlxops("load", "jade", port, "--force"), 7, "PortBusy")
    assert known.assignments() == {"amber": port}
    assert known.ask(port, known.slot(port)) == "I am tiny/amber"


@pytest.mark.slow
def test_the_old_server_s_listener_does_not_satisfy_the_wait(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    """Even a server that ignores SIGTERM is gone before the new one counts as ready."""
    port = known.ports[0]
    known.must("load", "amber", port)
    old = known.port_row(port)["pid"]
    fake_runtime.behaves("tiny--amber", ignore=["TERM"])
    known.must("load", "jade", port, "--replace", "--force", "--grace", 2)
    assert known.ask(port, known.slot(port)) == "I am tiny/jade"
    assert known.assignments() == {"jade": port} and old not in living(known.folder)
    heard = [record["signal"] for record in fake_runtime.journal("signal") if record["pid"] == old]
    assert heard[:2] == ["TERM", "INT"]


@pytest.mark.slow
def test_a_model_assigned_elsewhere_is_refused_before_the_occupant_is_touched(
    known: Studio,
) -> None:
    first, second, _ = known.ports
    known.must("load", "amber", first)
    known.must("load", "jade", second)
    occupant = known.port_row(first)["pid"]
    error = refused(known.mlxops("load", "jade", first, "--replace"), 7, "AssignmentConflict")
    assert error["port"] == second
    assert known.port_row(first)["pid"] == occupant
    assert known.assignments() == {"amber": first, "jade": second}


@pytest.mark.slow
def test_unload_is_no_success_while_a_foreign_process_holds_the_port(
    known: Studio, begin: Begin
) -> None:
    port = known.ports[0]
    assign(known, "amber", port)
    listen(begin, port)
    refused(known.mlxops("unload", port), 7, "ForeignListener")
    assert known.assignments() == {"amber": port}
    assert known.port_row(port)["drift"] == "foreign"


@pytest.mark.slow
def test_unload_all_with_nothing_running_clears_stale_assignments(
    known: Studio, begin: Begin
) -> None:
    first, second, third = known.ports
    assign(known, "amber", first)
    assign(known, "jade", second)
    assign(known, "topaz", third)
    listen(begin, third)
    answer = known.mlxops("unload-all")
    assert answer.exit == 1
    told = {row["port"]: row["ok"] for row in answer.result["ports"]}
    assert told == {first: True, second: True, third: False}
    assert known.assignments() == {"topaz": third}


@pytest.mark.slow
def test_reconcile_leaves_a_model_that_is_still_loading(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    first, second, _ = known.ports
    assign(known, "topaz", second)
    fake_runtime.behaves("tiny--amber", load_s=4)
    load = known.start("--json", "load", "amber", first)
    job(known, first, "wait")
    plan = known.must("reconcile")
    assert load.poll() is None, "it was loaded before reconcile looked"
    assert [(action["entry"], action["applied"]) for action in plan["actions"]] == [("topaz", True)]
    assert known.assignments() == {"amber": first}
    assert finished(load).exit == 0
    assert known.port_row(first)["state"] == "ready"


@pytest.mark.slow
def test_reconcile_leaves_a_server_of_another_user(known: Studio, begin: Begin) -> None:
    """As the user nobody, the agent cannot see the listener's owner: the port is unknown, nothing
    is changed, and the reason is given."""
    if os.getuid() != 0:
        pytest.skip("needs root, to be two users")
    port = known.ports[0]
    assign(known, "amber", port)
    listen(begin, port)
    as_nobody(known)
    plan = finished(known.start("--json", "reconcile")).document["result"]
    assert known.assignments() == {"amber": port}
    assert [action for action in plan["actions"] if action["applied"]] == []
    (drift,) = plan["drift"]
    assert (drift["port"], drift["entry"]) == (port, "amber") and drift["reason"]


def as_nobody(studio: Studio) -> None:
    """From now on the agent runs as the user nobody, who can read and write the Studio's files but
    sees no process of root."""
    wrapper = studio.folder / "python-as-nobody"
    wrapper.write_text(
        f"#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups {plain_python()} "
        f'"$@"\n'
    )
    wrapper.chmod(0o755)
    for folder in (studio.folder, *studio.folder.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    subprocess.run(["chown", "-R", "65534", str(studio.hf_home)], check=True)
    studio.describe(python=str(wrapper), state_dir=str(studio.hf_home / "state"))


def plain_python() -> str:
    """An interpreter outside of root's home."""
    return next(
        path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists()
    )


def test_processes_are_not_matched_by_a_substring(
    known: Studio, begin: Begin, tmp_path: Path
) -> None:
    port = known.ports[0]
    log = tmp_path / f"mlx-openai-server launch --port {port}"
    log.touch()
    begin("tail", "-f", log)
    begin(
        "sh", "-c", "read -r forever <$1", f"mlx-openai-server launch --port {port}", fifo(tmp_path)
    )
    assign(known, "amber", port)
    assert known.port_row(port)["drift"] == "stale"
    assert [action["entry"] for action in known.must("reconcile")["actions"]] == ["amber"]
    assert known.must("unload", port)["forgot"] == ["amber"]
    assert known.must("unload", port)["changed"] is False


def fifo(folder: Path) -> Path:
    path = folder / "fifo"
    os.mkfifo(path)
    return path


def test_simultaneous_changes_are_all_kept(known: Studio) -> None:
    fields = ("revision", "model_id", "format")
    changes = [
        (name, key, f"{name}-{key}") for name in ("amber", "jade", "topaz") for key in fields
    ]
    running = [known.start("--json", "set", name, f"{key}={value}") for name, key, value in changes]
    assert [finished(process).exit for process in running] == [0] * len(changes)
    assert [known.entry(name)[key] for name, key, _ in changes] == [
        value for _, _, value in changes
    ]


@pytest.mark.slow
def test_a_large_model_is_given_time(known: Studio, fake_runtime: FakeRuntime) -> None:
    """The limit was once 60 s; now the default is long."""
    known.runtime.pop("startup_timeout_s")
    known.describe()
    fake_runtime.behaves(load_s=6)
    assert known.mlxops("load", "amber", known.ports[0]).exit == 0
    (log,) = (known.state_dir / "jobs").iterdir()
    (wait,) = [
        event
        for event in map(json.loads, log.read_text().splitlines())
        if (event["event"], event.get("phase")) == ("phase", "wait")
    ]
    assert wait["limit_s"] >= 180


@pytest.fixture
def hub_studio(
    make_studio: Callable[..., Studio], studio_runtime: dict[str, Any], tmp_path: Path
) -> Iterator[Studio]:
    """A local Studio whose Hub has tiny/onyx; `env` names the Hub."""
    write_cache(tmp_path / "remote", "tiny/onyx", model_files(["I", " am", " ONYX"]))
    with FakeHub(tmp_path / "remote") as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": ""}
        studio = make_studio(None, studio_runtime, env=env)
        studio.must("init")
        yield studio


def test_an_unknown_word_is_not_sent_to_the_downloader(known: Studio) -> None:
    before = sorted(known.hf_home.rglob("models--*"))
    error = refused(known.mlxops("load", "ambre", known.ports[0]), 9, "ModelUnknown")
    assert "amber" in json.dumps(error)
    refused(known.mlxops("load", "a", known.ports[0]), 9, "ModelAmbiguous")
    assert sorted(known.hf_home.rglob("models--*")) == before


def test_downloads_go_where_init_looks(hub_studio: Studio) -> None:
    port = hub_studio.ports[0]
    assert hub_studio.must("load", "tiny/onyx", port)["state"] == "ready"
    assert hub_studio.entry("onyx")["cache_path"].startswith(str(hub_studio.hub))
    assert hub_studio.must("init")["actions"] == []


def test_init_looks_below_both_roots(known: Studio) -> None:
    write_cache(known.hf_home, "tiny/pearl", model_files(["I"]))
    assert [action["entry"] for action in known.must("init")["actions"]] == ["pearl"]


def test_the_agent_on_the_host_is_the_client_s_own(known: Studio) -> None:
    kept = known.state_dir / "agent"
    digest = bundle.pack().digest
    assert [path.name for path in kept.iterdir() if path.is_dir() and digest in path.name] == [
        digest
    ]
    (kept / digest).rename(kept / ("0" * 64))
    assert known.must("list")["models"] and (kept / digest).is_dir()


def test_empty_and_null_fields_stay_empty_and_null(known: Studio) -> None:
    awkward = {
        "repo_id": "tiny/amber",
        "model_id": "tiny/amber",
        "cache_path": "",
        "format": "mlx",
        "port": None,
    }
    name = 'it\'s\t"odd" \\ 名'
    known.edit(
        lambda registry: registry["models"].update(
            {name: {**awkward, "chat_template": None, "mine": [None]}}
        )
    )
    row = next(row for row in known.must("list")["models"] if row["name"] == name)
    assert (row["cache_path"], row["port"], row["chat_template"], row["size_bytes"]) == (
        "",
        None,
        None,
        None,
    )
    known.must("set", name, "tool_call_parser=hermes")
    assert known.entry(name)["mine"] == [None] and known.entry(name)["cache_path"] == ""
    assert known.must("show", name)["entry"]["tool_call_parser"] == "hermes"


def test_a_model_that_does_not_fit_is_not_started(known: Studio, fake_runtime: FakeRuntime) -> None:
    first, second, _ = known.ports
    known.must("load", "amber", first)
    (weights,) = Path(known.entry("jade")["cache_path"]).glob("model.safetensors")
    os.truncate(weights.resolve(), 1 << 42)
    refused(known.mlxops("load", "jade", second), 10, "NotEnoughMemory")
    refused(known.mlxops("load", "jade", first, "--replace"), 10, "NotEnoughMemory")
    assert known.ask(first, known.slot(first)) == "I am tiny/amber"
    assert len(fake_runtime.journal("started")) == 1


def test_status_as_json_is_one_document(known: Studio) -> None:
    answer = known.mlxops("status")
    assert set(answer.document) == {"schema", "host", "command", "ok", "result", "error"}
    assert set(answer.document["result"]) >= {"ports", "memory"}


def test_without_a_terminal_nothing_is_asked(known: Studio) -> None:
    port = known.ports[0]
    known.must("load", "amber", port)
    began = time.monotonic()
    answer = finished(known.start("load", "jade", port))
    assert answer.exit == 7 and time.monotonic() - began < 20
    assert "Traceback" not in answer.stderr and "--replace" in answer.stderr
