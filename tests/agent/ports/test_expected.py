"""How a server that a port misses ended, and what its log last said. Runs on Python 3.9 too."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlxops.agent.clock import epoch, utc
from mlxops.agent.ports.expected import (
    expected,
    last_log_line,
    outside_warning,
    server_end,
    wanted_outside,
    wanted_since,
)
from mlxops.agent.procs import Boot, Unobservable, local_procs
from mlxops.agent.registry.entries import REQUIRED, Entry, Registry

PORT = 8104
LAUNCHED, GONE = "2026-11-28T06:00:00Z", "2026-11-28T08:00:00Z"
RECORD = {
    "pid": 7,
    "start_time": "0123abcd-99",
    "launched_at": LAUNCHED,
    "launched_by": "root@mini",
}


class Booted:
    """A platform whose boot is given; None: it cannot be observed."""

    def __init__(self, boot: Boot | None) -> None:
        self._boot = boot

    def boot(self) -> Boot:
        if self._boot is None:
            raise Unobservable("no boot id")
        return self._boot


BOOT_AT = epoch("2026-11-28T07:56:00Z") or 0.0
LATER, EARLIER = Boot(BOOT_AT, ""), Boot(BOOT_AT - 86400, "")


@pytest.mark.parametrize(
    ("boot", "record", "how"),
    [
        (Boot(BOOT_AT, "0123abcd-"), RECORD, "crash"),
        (Boot(BOOT_AT, "fedcba98-"), RECORD, "reboot"),
        (Boot(BOOT_AT, "0123abcd-"), {**RECORD, "start_time": "1795852560"}, "unknown"),
        (Boot(BOOT_AT, "0123abcd-"), {**RECORD, "start_time": 5}, "unknown"),
        (Boot(BOOT_AT, "0123abcd-"), {}, "unknown"),
        (LATER, {**RECORD, "start_time": "1795845600"}, "reboot"),
        (EARLIER, {**RECORD, "start_time": "1795845600"}, "crash"),
        (LATER, {"launched_at": "yesterday"}, "unknown"),
        (LATER, {}, "unknown"),
        (None, RECORD, "unknown"),
    ],
)
def test_a_reboot_is_told_from_a_crash_by_the_boot_or_not_at_all(
    boot: Boot | None, record: dict[str, Any], how: str
):
    end = server_end(Booted(boot), record)  # type: ignore[arg-type]
    assert end.how == how
    assert (end.at == "2026-11-28T07:56:00Z") is (how == "reboot")


def registry_of(**fields: Any) -> Registry:
    return Registry({"c": Entry("c", {**REQUIRED, **fields})}, {})


def reason(state_dir: Path, **last: Any) -> str:
    """The reason that a lost entry is shown with."""
    site = SimpleNamespace(state_dir=str(state_dir), declared_model=lambda port: None)
    registry = registry_of(wanted=PORT, last_process={**RECORD, **last})
    ctx = SimpleNamespace(site=site, procs=local_procs())
    want = expected(ctx, registry, PORT)  # type: ignore[arg-type]
    return want.loss.reason if want.loss else ""


@pytest.fixture(autouse=True)
def utc_here(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_reboot_is_told_with_its_moment_and_of_another_day_with_the_day(tmp_path: Path):
    early = reason(tmp_path, gone="reboot", gone_at="2026-11-28T07:56:00Z")
    today = utc(time.time())
    when = "07:56" if today[:10] == "2026-11-28" else "2026-11-28 07:56"
    assert early == "wanted since 2026-11-28 by root; gone since the reboot of " + when
    assert reason(tmp_path, gone="reboot", gone_at=today).endswith("the reboot of " + today[11:16])


def test_what_is_not_known_is_not_told(tmp_path: Path):
    assert reason(tmp_path, gone="unknown", gone_at=GONE) == "wanted since 2026-11-28 by root; gone"
    assert reason(tmp_path, gone="reboot", gone_at=None).endswith("; gone")
    assert reason(tmp_path, gone="crash").endswith("; crashed")
    adopted = reason(tmp_path, gone="crash", gone_at=GONE, launched_by="adopted", launched_at=3)
    assert adopted == "wanted; crashed"
    for odd in (None, "", "on fire", [], {}):
        assert reason(tmp_path, gone=odd) == ""


def log(state_dir: Path, content: bytes, written: str, name: str = f"{PORT}.log") -> Path:
    path = state_dir / "logs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    moment = epoch(written)
    assert moment is not None
    os.utime(path, (moment, moment))
    return path


def test_a_crash_is_told_with_the_last_line_of_its_log(tmp_path: Path):
    log(tmp_path, b"loading\nRuntimeError: [metal] out of memory\n\n  \n", "2026-11-28T07:59:30Z")
    told = reason(tmp_path, gone="crash", gone_at=GONE)
    assert told == (
        "wanted since 2026-11-28 by root; crashed (log: RuntimeError: [metal] out of memory)"
    )
    assert "log:" not in reason(tmp_path, gone="reboot", gone_at=GONE)


def test_the_error_of_a_crash_comes_before_what_was_logged_after_it(tmp_path: Path):
    access = b'127.0.0.1 - - "GET /health HTTP/1.1" 503 -\n'
    log(tmp_path, b"MemoryError: all is gone\n" + access, "2026-11-28T07:59:30Z")
    assert reason(tmp_path, gone="crash", gone_at=GONE).endswith("(log: MemoryError: all is gone)")
    log(tmp_path, b"MemoryError: long ago\n" + access * 30, "2026-11-28T07:59:30Z")
    assert "long ago" not in reason(tmp_path, gone="crash", gone_at=GONE)


def test_a_log_of_before_the_launch_or_after_the_end_is_not_its_own(tmp_path: Path):
    for written in ("2026-11-28T05:59:59Z", "2026-11-28T08:00:05Z"):
        log(tmp_path, b"of another\n", written)
        assert last_log_line(str(tmp_path), PORT, LAUNCHED, GONE) == ""
    log(tmp_path, b"its own\n", "2026-11-28T07:00:00Z", f"{PORT}.log.1")
    assert last_log_line(str(tmp_path), PORT, LAUNCHED, GONE) == "its own"
    assert last_log_line(str(tmp_path), PORT, LAUNCHED, None) == ""
    assert last_log_line(str(tmp_path), PORT, None, GONE) == ""


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", ""),
        (b"\n \n\t\n", ""),
        (b"no end of line", "no end of line"),
        (b'127.0.0.1 - - [28/Nov] "GET /health HTTP/1.1" 200 -\n', ""),
        (b'killed\nINFO: "GET /v1/models HTTP/1.1" 200 OK\n', "killed"),
        (b'INFO: "POST /v1/chat HTTP/1.1" 500\n', 'INFO: "POST /v1/chat HTTP/1.1" 500'),
        (b"\x1b[31mred\x1b[0m\x07 \xff\n", "[31mred[0m \ufffd"),
        (b"a\rb\r", "b"),
        (b"x" * 300, "x" * 97 + "..."),
        (b"first\n" + b"\0" * 20000, ""),
        (b"y" * (1 << 20) + b"\nlast\n", "last"),
    ],
)
def test_any_log_gives_one_short_printable_line(tmp_path: Path, content: bytes, line: str):
    log(tmp_path, content, "2026-11-28T07:00:00Z")
    assert last_log_line(str(tmp_path), PORT, LAUNCHED, GONE) == line


def test_a_log_that_is_no_file_is_not_waited_for(tmp_path: Path):
    path = log(tmp_path, b"", "2026-11-28T07:00:00Z")
    path.unlink()
    os.mkfifo(path)
    os.utime(path, (epoch(GONE) or 0, epoch(GONE) or 0))
    assert last_log_line(str(tmp_path), PORT, LAUNCHED, GONE) == ""


def test_since_when_a_port_is_wanted_is_in_the_record_of_its_server():
    serving = registry_of(port=PORT, wanted=PORT, process=RECORD)
    gone = registry_of(wanted=PORT, last_process=RECORD)
    assert wanted_since(serving, PORT) == wanted_since(gone, PORT) == (LAUNCHED, "root@mini")
    nothing = (None, None)
    assert wanted_since(registry_of(wanted=PORT), PORT) == nothing
    assert wanted_since(registry_of(port=PORT, process=RECORD), PORT) == nothing
    assert wanted_since(registry_of(wanted=PORT, last_process="x"), PORT) == nothing
    rivals = serving.put(Entry("d", {**REQUIRED, "wanted": PORT}))
    assert wanted_since(rivals, PORT) == nothing


def test_what_is_wanted_on_a_port_that_the_host_does_not_have_is_named():
    (entry,) = wanted_outside(registry_of(wanted=9000), range(8100, 8105))
    assert outside_warning(entry) == "c is wanted on port 9000, which is not one of this host's"
    assert wanted_outside(registry_of(wanted=PORT), range(8100, 8105)) == []
