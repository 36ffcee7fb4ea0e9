"""Each thing doctor looks at on the host, really broken: its row says so, with the command that
mends it, no other."""

from __future__ import annotations

import os
import py_compile
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.doctor.finding import Finding, run_check
from mlxops.agent.errors import Interrupted
from mlxops.agent.procs.macos.darwin import Darwin
from mlxops.agent.registry.lock import FileLock
from mlxops.agent.wire.stub import IMAGE
from tests.support.healthy import Healthy, file_instead, host, without, write
from tests.support.procs_actors import script, tool

__all__ = ["host"]


@pytest.fixture
def listening(host: Healthy) -> Iterator[int]:
    """One of our ports, held by something that is no server of ours."""
    with socket.create_server(("127.0.0.1", host.port)):
        yield host.port


def test_a_healthy_host_has_only_rows_that_are_ok(host: Healthy) -> None:
    began = time.time()
    answer = host.doctor()
    assert [row for row in answer["checks"] if row["verdict"] != "ok" or row["mend"]] == []
    assert {row["side"] for row in answer["checks"]} == {"host"} and answer["actions"] == []
    assert len({row["check"] for row in answer["checks"]}) >= 18
    assert (
        began <= host.client.events[0]["now"] <= time.time()
        and host.client.events[0]["event"] == "clock"
    )
    assert host.doctor(fix=True)["actions"] == []


Break = Callable[[Healthy], object]


def settings(host: Healthy, **runtime: Any) -> None:
    host.site["runtime"].update(runtime)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def renamed(host: Healthy) -> Path:
    """Another agent's folder."""
    place = host.kept.with_name("0" * 64)
    host.kept.rename(place)
    host.kept.mkdir(mode=0o700)
    (place / IMAGE).rename(host.kept / IMAGE)
    return place


def older(host: Healthy) -> Path:
    """The agent's folder as older versions left it: files, and the bytecode that Python wrote
    beside them."""
    without(host.kept / IMAGE)
    shutil.copytree(host.folder / "source", host.kept / "agent")
    return host.kept


def compiled(folder: Path) -> Path:
    return Path(py_compile.compile(str(folder / "agent" / "main.py"), doraise=True))


def snapshot(host: Healthy) -> Path:
    return next(host.hub.glob("models--*/snapshots/*"))


BLIND = ("assignments", "snapshots", "entries", "ports")
REGISTRY_GONE_BAD = [("registry", "wrong"), *((name, "unknown") for name in BLIND)]
BROKEN: dict[str, tuple[Break, list[tuple[str, str]], str, str]] = {
    "open state": (
        lambda h: h.state.chmod(0o777),
        [("state folder", "wrong")],
        "mode 777",
        "--fix",
    ),
    "readable logs": (
        lambda h: (h.state / "logs").chmod(0o755),
        [("state folder", "warning")],
        "/logs",
        "--fix",
    ),
    "file for logs": (
        lambda h: file_instead(h.state / "logs"),
        [("state folder", "wrong")],
        "not a folder",
        "mv ",
    ),
    "foreign code": (
        lambda h: write(h.kept / "evil.py"),
        [("agent cache", "wrong")],
        "evil.py",
        "--fix",
    ),
    "damaged agent": (
        lambda h: cut_short(h.kept / IMAGE),
        [("agent cache", "wrong")],
        "damaged",
        "--fix",
    ),
    "other agent": (
        lambda h: (h.kept / IMAGE).rename(renamed(h) / IMAGE),
        [("agent cache", "wrong")],
        "damaged",
        "--fix",
    ),
    "older agent, changed": (
        lambda h: write(older(h) / "agent" / "main.py", "pass"),
        [("agent cache", "wrong")],
        "did not write",
        "--fix",
    ),
    "older agent, bytecode cut short": (
        lambda h: cut_short(compiled(older(h))),
        [("agent cache", "wrong")],
        "bytecode",
        "--fix",
    ),
    "open hub": (
        lambda h: h.hub.chmod(0o777),
        [("registry folder", "wrong")],
        "every user can write",
        "chmod o-w ",
    ),
    "open home": (
        lambda h: h.hub.parent.chmod(0o777),
        [("hf_home", "wrong")],
        "every user can write",
        "chmod o-w ",
    ),
    "no home": (
        lambda h: h.site.update(hf_home="/nonesuch"),
        [("hf_home", "wrong")],
        "not exist",
        "mkdir -p ",
    ),
    "file for home": (
        lambda h: h.site.update(hf_home=str(h.registry)),
        [("hf_home", "wrong")],
        "a file",
        "[studio]",
    ),
    "no registry": (
        lambda h: without(h.registry),
        [("registry", "warning")],
        "does not exist yet",
        "mlxops init",
    ),
    "open registry": (
        lambda h: h.registry.chmod(0o666),
        [("registry", "wrong")],
        "every user can write",
        "chmod o-w ",
    ),
    "broken registry": (
        lambda h: write(h.registry, '{"models": ]'),
        REGISTRY_GONE_BAD,
        "line 1, column",
        "",
    ),
    "folder for registry": (
        lambda h: (without(h.registry), h.registry.mkdir()),
        REGISTRY_GONE_BAD,
        "cannot read",
        "make it readable",
    ),
    "two on a port": (
        lambda h: [h.enter(name, port=h.port) for name in "ab"],
        [("assignments", "wrong")],
        "a and b",
        "mlxops unload",
    ),
    "stray port": (
        lambda h: h.enter("a", port=1),
        [("assignments", "warning")],
        "a",
        "mlxops reconcile",
    ),
    "no snapshot": (
        lambda h: without(snapshot(h)),
        [("snapshots", "warning")],
        "is missing: amber",
        "or mlxops remove amber",
    ),
    "no snapshot of an assigned one": (
        lambda h: h.enter("a", port=h.port, cache_path="/none"),
        [("snapshots", "wrong"), ("ports", "wrong")],
        "is missing: a",
        "remove a",
    ),
    "half a snapshot": (
        lambda h: (snapshot(h) / "model.safetensors").unlink(),
        [("snapshots", "warning")],
        "incomplete",
        "mlxops remove amber",
    ),
    "no lock": (
        lambda h: (h.hub / "registry.json.lock").mkdir(),
        [("registry lock", "wrong")],
        "not a file",
        "mv ",
    ),
    "no port lock": (
        lambda h: (h.hub / f"registry.json.{h.port}.lock").mkdir(),
        [("port locks", "wrong"), ("ports", "unknown")],
        "not a file",
        "mv ",
    ),
    "no runtime": (
        lambda h: settings(h, command=["/nonesuch/server"]),
        [("runtime", "wrong"), ("entries", "unknown")],
        "was not found",
        "install it",
    ),
    "mute runtime": (
        lambda h: settings(h, command=["/bin/false"]),
        [("runtime", "wrong"), ("entries", "unknown")],
        "does not show the help",
        "run it",
    ),
    "unknown runtime": (
        lambda h: settings(h, name="ollama"),
        [("runtime", "wrong"), ("entries", "unknown")],
        "ollama",
        "known: ",
    ),
    "old runtime": (
        lambda h: h.runtime.shows("--port --model-path --tool-call-parser --no-log-file"),
        [("runtime", "warning")],
        "no --served-model-name",
        "update ",
    ),
    "lost parser": (
        lambda h: h.enter("a", tool_call_parser="QWEN"),
        [("entries", "wrong")],
        "a: --tool-call-parser QWEN",
        "mlxops set a tool_call_parser=",
    ),
    "lost template": (
        lambda h: h.enter("a", chat_template="/none"),
        [("entries", "wrong")],
        "/none does not exist",
        "mlxops set a chat_template=",
    ),
    "entry of an unknown runtime": (
        lambda h: h.enter("a", runtime="ollama"),
        [("entries", "wrong")],
        "ollama",
        "mlxops set a runtime=",
    ),
    "no hub": (
        lambda h: h.site.update(hub_python="/bin/false"),
        [("huggingface_hub", "wrong")],
        "/bin/false",
        "pip install",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_told_and_nothing_else(host: Healthy, kind: str) -> None:
    break_it, troubles, seen, mend = BROKEN[kind]
    break_it(host)
    told = [row for row in host.rows() if row["verdict"] != "ok"]
    assert [(row["check"], row["verdict"]) for row in told] == troubles
    assert seen in told[0]["seen"] and mend in (told[0]["mend"] or ""), told


@pytest.mark.slow
def test_who_holds_a_lock_is_told_and_too_long_is_a_warning(host: Healthy) -> None:
    held = {"why": "load", "who": "bob", "from": "mini", "pid": os.getpid()}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for check, name in {"registry lock": "lock", "port locks": f"{host.port}.lock"}.items():
        lock = FileLock(f"{host.registry}.{name}")
        lock.acquire({**held, "since": now}, 0)
        assert (
            f"held: load by bob from mini since {now} (pid {os.getpid()})"
            in host.row(check, "ok")["seen"]
        )
        lock.describe({**held, "since": "2024-02-03T04:05:06Z"})
        row = host.row(check, "warning")
        assert "2024-02-03" in row["seen"] and f"pid {os.getpid()}" in row["mend"]
        lock.release()
        assert host.rows(check)[0]["verdict"] == "ok"


def test_the_version_comes_from_the_metadata_else_from_the_program(
    host: Healthy, tmp_path: Path
) -> None:
    assert host.row("runtime", "ok")["seen"].endswith("version unknown")
    packages = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    (packages / "mlx_openai_server-1.8.1.dist-info").mkdir(parents=True)
    assert host.row("runtime", "ok")["seen"].endswith("version 1.8.1")
    shown = f'[ "$1" = --version ] && echo "Version: 1.7.2" || cat {host.runtime.program}.help'
    settings(host, command=[script(tmp_path, "mlx-openai-server", shown), "launch"])
    assert host.row("runtime", "ok")["seen"].endswith("version 1.7.2")


def test_the_help_is_asked_once(host: Healthy) -> None:
    for _ in range(2):
        host.doctor()
    assert (
        sum(1 for event in host.client.events if "reading the options" in event.get("message", ""))
        == 1
    )


def test_an_environment_that_forbids_downloads_is_a_warning(
    host: Healthy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert host.troubles() == [("huggingface_hub", "warning")]


@pytest.mark.slow
def test_a_foreign_listener_is_told_with_its_process(host: Healthy, listening: int) -> None:
    assert host.troubles() == [("foreign listeners", "wrong")]
    row = host.row("foreign listeners", "wrong")
    assert f"port {listening}" in row["seen"] and f"pid {os.getpid()}" in row["seen"]
    assert row["mend"].startswith(f"mlxops show {listening}")


@pytest.mark.lsof
def test_tools_that_fail_make_rows_and_end_nothing(host: Healthy, tmp_path: Path) -> None:
    broken = script(tmp_path, "broken", "exit 2")
    host.procs = Darwin(lsof=broken, ps=tool("ps"), vm_stat=broken, sysctl=broken, launchctl=broken)
    assert host.troubles() == [
        ("memory", "unknown"),
        ("processes", "wrong"),
        *(("ports", "unknown") for _ in host.site["ports"]),
        ("foreign listeners", "unknown"),
        ("launchd jobs", "unknown"),
    ]
    assert broken in host.row("processes", "wrong")["seen"]


LAUNCHCTL = r"""
block() {
  printf 'x = {\n\t%s = {\n' "$1"; shift
  for word; do printf '\t\t%b\n' "$word"; done
  printf '\t}\n}\n'
}
case $2 in
  system) block services 'PID\t-\tcom.lab.boot' '0\t-\tcom.lab.later' ;;
  system/com.lab.later) block arguments mlx_lm.server --port PORT ;;
  system/*) block arguments /opt/start.sh ;;
  *) block services ;;
esac
"""


@pytest.mark.slow
@pytest.mark.lsof
def test_launchd_jobs_on_our_ports_are_told_by_listener_and_by_command(
    host: Healthy, listening: int, tmp_path: Path
) -> None:
    text = LAUNCHCTL.replace("PID", str(os.getpid())).replace("PORT", str(listening + 1))
    host.procs = Darwin(
        lsof=tool("lsof"), ps=tool("ps"), launchctl=script(tmp_path, "launchctl", text)
    )
    rows = host.rows("launchd jobs")
    assert [row["verdict"] for row in rows] == ["warning", "warning"]
    assert f"com.lab.boot uses port {listening}:" in rows[0]["seen"]
    assert f"com.lab.later uses port {listening + 1}:" in rows[1]["seen"]
    assert rows[0]["mend"] == "on the host: sudo launchctl bootout system/com.lab.boot"


def test_a_check_that_breaks_keeps_what_it_found_and_ends_no_other(host: Healthy) -> None:
    def breaking(command: object) -> Iterator[Finding]:
        yield Finding("first", "ok", "seen")
        raise ZeroDivisionError("by hand")

    rows = run_check(None, "it", breaking)  # type: ignore[arg-type]
    assert [(row.check, row.verdict) for row in rows] == [("first", "ok"), ("it", "unknown")]
    assert "internal error: ZeroDivisionError: by hand" in rows[1].detail


def test_a_cancel_ends_it(host: Healthy) -> None:
    host.client.cancelled = True
    with pytest.raises(Interrupted):
        host.doctor()
