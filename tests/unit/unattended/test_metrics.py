"""The metrics file, read by Prometheus's own parser; and the dashboard that shows it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.errors import Failed, HostUnreachable, LoginRefused, RegistryInvalid
from mlxops.agent.ports import remedies
from mlxops.unattended import textfile
from mlxops.unattended.metrics import HELP, KINDS, STATES, RunOutcome, metrics_text
from tests.support.cli_standin import Ended, Studio, lab
from tests.support.sources import ROOT

__all__ = ["lab"]
ROWS: list[dict[str, Any]] = [
    {
        "port": 8100,
        "slot_name": "jerry",
        "entry": "qwen",
        "state": "ready",
        "drift": None,
        "broken": False,
        "beside": "pid 7",
        "rss_bytes": 1 << 33,
        "uptime_s": 90.5,
        "latency_ms": 12.5,
        "load_s": 41.2,
    },
    {"port": 8101, "slot_name": None, "wanted": "b", "state": "free", "drift": "lost"},
    {"port": 8102, "entry": "c", "state": "dead-child", "drift": "mismatch", "broken": True},
    {"port": 8103, "state": "unknown", "drift": None, "rss_bytes": None},
    {"port": 8104, "state": "ready", "drift": "foreign"},
]
RESULT = {
    "ports": ROWS,
    "memory": {"available_bytes": 5, "total_bytes": 9, "wired_limit_bytes": None},
    "jobs": {"failed": 2, "done": 7},
    "drift": [],
    "broken": [],
    "actions": [],
}
Key = tuple[str, frozenset[tuple[str, str]]]


def parsed(text: str) -> dict[Key, float]:
    """Every sample, by its name and labels; each occurs once."""
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(text))
    assert all(family.type == "gauge" and family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    values = {(s.name, frozenset(s.labels.items())): s.value for s in samples}
    assert len(values) == len(samples)
    return values


def outcome(result: Any = RESULT, host: str = "lab") -> RunOutcome:
    return RunOutcome(
        host=host, command="status", at=1000.0, exit_code=11, host_up=True, result=result
    )


def key(name: str, **labels: str) -> Key:
    return f"mlxops_{name}", frozenset({"host": "lab", **labels}.items())


def test_what_is_known_of_ports_and_host() -> None:
    values = parsed(metrics_text(outcome()))
    qwen = {"port": "8100", "slot": "jerry", "entry": "qwen"}
    lost = {"port": "8101", "slot": "", "entry": "b"}
    assert values[key("host_up")] == 1
    assert values[key("last_run_timestamp_seconds", command="status")] == 1000
    assert values[key("last_run_exit_code", command="status")] == 11
    assert (values[key("port_up", **qwen)], values[key("port_up", **lost)]) == (1, 0)
    assert values[key("port_up", port="8104", slot="", entry="")] == 0
    assert values[key("port_state", **qwen, state="ready")] == 1
    assert sum(values[key("port_state", **lost, state=state)] for state in STATES) == 1
    assert values[key("server_resident_bytes", **qwen)] == 1 << 33
    assert values[key("server_uptime_seconds", **qwen)] == 90.5
    assert values[key("server_start_time_seconds", **qwen)] == 910
    assert values[key("server_latency_seconds", **qwen)] == 0.0125
    assert values[key("server_load_seconds", **qwen)] == 41.2
    assert values[key("host_memory_available_bytes")] == 5
    assert values[key("host_memory_total_bytes")] == 9
    assert values[key("jobs", state="failed")] == 2 and values[key("jobs", state="died")] == 0
    counts = {kind: values[key("drift", kind=kind)] for kind in KINDS}
    found = ("lost", "mismatch", "dead-child", "stray", "unknown", "foreign")
    assert counts == {kind: int(kind in found) for kind in KINDS}


def test_an_unknown_figure_has_no_sample_and_every_metric_is_described() -> None:
    values = parsed(metrics_text(outcome()))
    assert {name for name, _ in values} == set(HELP)
    ports = [
        dict(labels)["port"] for name, labels in values if name == "mlxops_server_load_seconds"
    ]
    assert ports == ["8100"]


def test_a_run_that_failed_keeps_no_value_of_an_earlier_one() -> None:
    values = parsed(metrics_text(outcome(None)._replace(host_up=False)))
    assert {name for name, _ in values} == {
        "mlxops_host_up",
        "mlxops_last_run_timestamp_seconds",
        "mlxops_last_run_exit_code",
    }
    assert values[key("host_up")] == 0


@given(st.text(), st.text())
def test_any_name_is_read_back(host: str, entry: str) -> None:
    row = {**ROWS[0], "entry": entry}
    values = parsed(metrics_text(outcome({"ports": [row]}, host)))
    ups = [dict(labels) for name, labels in values if name == "mlxops_port_up"]
    sound = [text.encode("utf-8", "replace").decode() for text in (host, entry)]
    assert [[one["host"], one["entry"]] for one in ups] == [sound]


def test_every_kind_with_a_remedy_is_counted() -> None:
    kinds = {*remedies._BY_PORT, *remedies._PLAIN, *remedies._LOADED}
    kinds |= {*remedies._RELOADED, *remedies._RESTARTED}
    assert kinds - {remedies.RIVALS} <= set(KINDS)


def test_the_file_is_whole_and_readable_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "lab.prom"
    before = os.umask(0o077)
    try:
        for text in ("one\n", "two\n"):
            textfile.write(path, text)
            assert path.read_text() == text
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "no" / "lab.prom", tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(Failed, match=f"cannot write {path}: "):
            textfile.write(path, "text\n")
    assert Path("/dev/null").is_char_device() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("words", [("status", "--check"), ("reconcile", "-q")])
def test_the_verbs_write_it(lab: Path, words: tuple[str, ...]) -> None:
    studio = Studio(RESULT)
    assert Ended(studio, *words, "--metrics", "lab.prom").code == 0
    assert studio.asked[0][1]["metrics"] is True
    values = parsed((lab / "lab.prom").read_text())
    assert values[key("host_up")] == 1 and values[key("jobs", state="failed")] == 2
    plain = Studio(RESULT)
    Ended(plain, *words)
    assert "metrics" not in plain.asked[0][1]


@pytest.mark.parametrize(
    ("error", "up"),
    [
        (HostUnreachable("off"), 0),
        (LoginRefused("no"), 0),
        (RegistryInvalid("not JSON"), 1),
    ],
)
def test_a_host_that_does_not_answer_is_down(lab: Path, error: Exception, up: int) -> None:
    for words in (("status",), ("reconcile", "-q")):
        Ended(Studio(RESULT), *words, "--metrics", "lab.prom")
        ended = Ended(Studio(error), *words, "--metrics", "lab.prom")
        values = parsed((lab / "lab.prom").read_text())
        assert values[key("host_up")] == up
        assert values[key("last_run_exit_code", command=words[0])] == ended.code
        assert not [name for name, _ in values if "port" in name or "memory" in name]


def test_a_file_that_cannot_be_written_is_an_error_unless_there_is_a_worse_one(lab: Path) -> None:
    path = str(lab / "no" / "lab.prom")
    ended = Ended(Studio(RESULT), "status", "--metrics", path)
    assert ended.code == 1 and f"mlxops: cannot write {path}" in ended.err and "8100" in ended.out
    down = Ended(Studio(HostUnreachable("off")), "status", "--metrics", path)
    assert down.code == 3 and f"warning: cannot write {path}" in down.err
    cron = ("reconcile", "-q", "--cron", "--metrics", path)
    first, second = (Ended(Studio({**RESULT, "drift": []}), *cron) for _ in range(2))
    assert first.out.startswith(f"cannot write {path}") and (first.code, second.code) == (1, 1)
    assert (second.out, second.err) == ("", "")


DASHBOARD = ROOT / "docs/grafana/mlxops.json"


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [*queries, *(one["query"]["query"] for one in dashboard["templating"]["list"][1:])]


def test_the_dashboard_names_metrics_and_labels_that_exist() -> None:
    values = parsed(metrics_text(outcome()))
    labels: dict[str, set[str]] = {}
    for name, pairs in values:
        labels.setdefault(name, set()).update(dict(pairs))
    queries = expressions()
    assert len(queries) > 5
    for query in queries:
        names = re.findall(r"\bmlxops_\w+", query)
        assert names and set(names) <= set(HELP), query
        known = set().union(*(labels[name] for name in names))
        used = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
        grouped = [w for part in re.findall(r"by \(([^)]*)\)", query) for w in part.split(", ")]
        assert {*used, *grouped} <= known, query


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for query in expressions() for name in re.findall(r"\bmlxops_\w+", query)}
    assert set(HELP) - shown == {
        "mlxops_server_start_time_seconds",
        "mlxops_host_memory_total_bytes",
    }


def test_the_legends_name_labels_that_exist() -> None:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            used = re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))
            assert set(used) <= {"host", "port", "slot", "entry", "state", "kind", "command"}
