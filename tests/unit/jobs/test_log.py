"""Ids of jobs, whole and short."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.jobs.log import ids_like, last_loads, short_ids

IDS = ["20261128T101500-8100-4711", "20261128T101400-8101-77", "20261127T101400-8101-99"]


def test_an_id_is_short_unless_another_ends_so() -> None:
    assert list(short_ids(IDS).values()) == ["8100-4711", "8101-77", "8101-99"]
    again = "20261120T101400-8101-77"
    short = short_ids([*IDS, again])
    assert (short[IDS[1]], short[again]) == (IDS[1], again)
    assert short_ids(["odd"]) == {"odd": "odd"}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        (IDS[0], IDS[:1]),
        ("8101-77", [IDS[1]]),
        ("20261127", [IDS[2]]),
        ("20261128T1014", [IDS[1]]),
        ("20261128", IDS[:2]),
        ("8101", []),
        ("101-77", []),
    ],
)
def test_an_id_is_meant_by_its_beginning_or_its_short_form(word: str, meant: list[str]) -> None:
    assert ids_like(IDS, word) == meant


def ended(folder: Path, job: str, why: str, error: dict[str, str] | None = None) -> None:
    events = [
        {"event": "begin", "why": why, "port": int(job.split("-")[1])},
        {"event": "end", "error": error},
    ]
    (folder / f"{job}.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))


def test_the_last_load_and_the_last_failure_of_an_entry(tmp_path: Path) -> None:
    why = {"kind": "NotReady", "message": "no room"}
    ended(tmp_path, "20261128T100000-8100-1", "load amber 8100")
    ended(tmp_path, "20261128T100001-8101-2", "load amber 8101", why)
    ended(tmp_path, "20261128T100002-8101-3", "load amber 8101", {**why, "message": "again"})
    ended(tmp_path, "20261128T100003-8100-4", "restart amber 8100")
    ended(tmp_path, "20261128T100004-8100-5", "unload 8100")
    ended(tmp_path, "20261128T100005-8100-6", "load jade 8100")
    ended(tmp_path, "20261128T100006-8100-7", "load amber 8100", {"kind": "Interrupted"})

    def of_amber(begin: Mapping[str, Any]) -> bool:
        return str(begin["why"]).split()[1] == "amber"

    done, failed = last_loads(str(tmp_path), of_amber)
    assert done and done.job == "20261128T100003-8100-4"
    assert failed and failed.job == "20261128T100002-8101-3"
    done, failed = last_loads(str(tmp_path), lambda begin: begin["port"] == 8100)
    assert done and done.job == "20261128T100005-8100-6" and failed is None
