"""The table of `status` and the lines below it."""

from __future__ import annotations

import pytest

from mlxops.agent.errors import NotReady
from mlxops.render.actions import change_lines
from mlxops.render.drift import next_step
from mlxops.render.entries import entry_table
from mlxops.render.errors import error_text
from mlxops.render.log import LogText
from mlxops.render.ports import load_result, unload_all_result
from mlxops.render.show import page
from mlxops.render.status import status
from mlxops.render.style import Style
from tests.support.statusrows import DRIFT, FREE, PLAIN, READY


def test_status_shows_every_port_with_a_dash_for_what_is_unknown() -> None:
    memory = {"total_bytes": 256 << 30, "available_bytes": 61 << 30, "wired_limit_bytes": None}
    lines = status({"ports": [READY, FREE], "memory": memory, "drift": []}, PLAIN).splitlines()
    assert [" ".join(line.split()) for line in lines[:3]] == [
        "PORT SLOT ENTRY STATE DRIFT SERVED MEMORY UPTIME LATENCY",
        "8100 jerry-xl qwen ready - jerry-xl 191 GiB 2 h 04 m 12 ms",
        "8101 - - free - - - - -",
    ]
    assert lines[4:] == ["memory: 61.0 GiB of 256 GiB available"]


def test_several_models_that_are_gone_have_one_command() -> None:
    gone = [
        {"drift": kind, "port": port, "entry": "q"} for kind, port in (("stale", 1), ("lost", 2))
    ]
    told = status({"ports": [READY], "memory": None, "drift": gone}, PLAIN)
    assert told.splitlines()[-1] == "all 2 at once: mlxops apply"
    assert "at once" not in status({"ports": [READY], "memory": None, "drift": gone[1:]}, PLAIN)


def test_status_explains_drift_and_names_the_next_command() -> None:
    lines = status(
        {"ports": [READY | {"drift": "mismatch"}], "memory": None, "drift": [DRIFT]}, PLAIN
    ).splitlines()
    assert lines[1].split()[4] == "mismatch"
    assert lines[-3] == "memory: - of - available"
    assert lines[-2:] == [
        "mismatch 8100 qwen: serves another model",
        "  next: mlxops load qwen 8100 --replace",
    ]


def test_a_narrow_terminal_gets_fewer_columns_instead_of_folded_lines() -> None:
    result = {"ports": [READY | {"drift": "mismatch"}, FREE], "memory": None, "drift": []}
    lines = status(result, Style(width=66)).splitlines()
    assert " ".join(lines[0].split()) == "PORT SLOT ENTRY STATE DRIFT MEMORY UPTIME LATENCY"
    assert lines[3] == "hidden: SERVED (-o wide)"
    assert max(map(len, lines[:4])) <= 66
    coloured = status(result, Style(colour=True, width=66)).splitlines()
    assert coloured[0] == lines[0]


def test_status_tells_what_is_under_way_on_a_port() -> None:
    busy = FREE | {"reason": "load o/a 8101 by alice since 12:00"}
    lines = status({"ports": [busy], "memory": None, "drift": []}, PLAIN).splitlines()
    assert lines[-1] == "free 8101: load o/a 8101 by alice since 12:00"


def test_a_state_has_its_colour_on_a_terminal_only() -> None:
    result = {"ports": [READY], "memory": None, "drift": []}
    assert "\x1b[32mready\x1b[0m" in status(result, Style(colour=True))
    assert "\x1b" not in status(result, PLAIN)


@pytest.mark.parametrize(
    "kind", ["stale", "lost", "orphan", "foreign", "mismatch", "duplicate", "missing", "unknown"]
)
def test_every_drift_has_a_next_command(kind: str) -> None:
    step = next_step({"drift": kind, "port": 8100, "entry": None})
    first = {
        "foreign": "stop it on the host, then: ",
        "missing": "mount its disk or restore its folder; or: ",
    }.get(kind, "")
    assert step.startswith(first + "mlxops ")
    assert "{" not in step


@pytest.mark.parametrize(
    ("told", "step"),
    [
        ({"drift": "stale"}, "mlxops load qwen 8100, or mlxops unload 8100 to forget it"),
        ({"drift": "lost"}, "mlxops apply 8100, or mlxops unload 8100 to forget it"),
        (
            {"drift": "lost", "next": "mlxops load qwen 8100 --force"},
            "mlxops load qwen 8100 --force, or mlxops unload 8100 to forget it",
        ),
        (
            {"drift": "missing"},
            "mount its disk or restore its folder; or: "
            "mlxops load qwen 8100 --replace --download, to download it again",
        ),
        (
            {"drift": "missing", "next": "mlxops set qwen cache_path=PATH"},
            "mount its disk or restore its folder; or: "
            "mlxops set qwen cache_path=PATH, if it is elsewhere now",
        ),
        ({"state": "unresponsive"}, "mlxops restart 8100"),
        ({"state": "dead-child"}, "mlxops restart 8100"),
        ({"state": "failed"}, "mlxops logs 8100"),
    ],
)
def test_the_next_command_brings_back_what_is_gone(told: dict[str, str], step: str) -> None:
    assert next_step({**told, "port": 8100, "entry": "qwen"}) == step


def test_a_broken_server_is_told_with_its_command() -> None:
    broken = {
        "state": "unresponsive",
        "port": 8100,
        "entry": "qwen",
        "reason": "hangs",
        "next": "mlxops x",
    }
    row = READY | {"state": "unresponsive", "reason": "hangs", "broken": True}
    told = status(
        {"ports": [row], "memory": None, "drift": [], "broken": [broken]}, PLAIN
    ).splitlines()
    assert told[-2:] == ["unresponsive 8100 qwen: hangs", "  next: mlxops x"]


def test_a_hostile_name_cannot_steer_the_terminal() -> None:
    hostile = "x\x1b]0;y\x07\nz"
    texts = [
        status(
            {
                "ports": [READY | {"entry": hostile, "drift": hostile}],
                "drift": [DRIFT | {"reason": hostile}],
            },
            PLAIN,
        ),
        entry_table({"models": [{"name": hostile, "repo_id": hostile}]}, PLAIN),
        page(
            {"entry": {"name": hostile, hostile: {hostile: [hostile]}}, "command": [hostile]}, PLAIN
        ),
        change_lines(
            {
                "actions": [{"action": hostile, "entry": hostile, "port": 1, "reason": hostile}],
                "drift": [],
            },
            PLAIN,
        ),
        load_result(
            {"port": 1, "entry": hostile, "state": hostile, "previous": hostile, "changed": True},
            PLAIN,
        ),
        unload_all_result(
            {"ports": [{"port": 1, "ok": False, "error": {"message": hostile}}]}, PLAIN
        ),
        error_text(NotReady(hostile, hostile, log=[hostile]), PLAIN),
        LogText(print).rest({"lines": [hostile]}, PLAIN),
    ]
    for text in texts:
        assert "\\x1b" in text
        assert all(line.isprintable() for line in text.split("\n")), text
