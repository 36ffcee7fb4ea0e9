"""The state of a host as metrics, in the text format of Prometheus. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

Labels = dict[str, str]
Sample = tuple[Labels, float]
Result = Mapping[str, Any]

STATES = (
    "free",
    "starting",
    "ready",
    "stopping",
    "failed",
    "unresponsive",
    "dead-child",
    "unknown",
)
# Every drift, and every state of a broken server.
KINDS = (
    "stale",
    "lost",
    "held",
    "empty",
    "orphan",
    "foreign",
    "mismatch",
    "duplicate",
    "missing",
    "unrecorded",
    "stray",
    "switched",
    "unknown",
    "failed",
    "unresponsive",
    "dead-child",
)
JOB_STATES = ("running", "done", "failed", "cancelled", "died")
# Metric -> its help. All are gauges.
HELP = {
    "mlxops_host_up": "1 if the host answered the last run.",
    "mlxops_last_run_timestamp_seconds": "When the last run ended.",
    "mlxops_last_run_exit_code": "The exit code of the last run; 11 means drift.",
    "mlxops_port_up": "1 if a model server answers on the port.",
    "mlxops_port_state": "1 for the state that the port is in.",
    "mlxops_server_resident_bytes": "Memory of the port's server.",
    "mlxops_server_uptime_seconds": "Age of the port's server.",
    "mlxops_server_start_time_seconds": "When the port's server was started.",
    "mlxops_server_latency_seconds": "Time of the server's answer to /health.",
    "mlxops_server_load_seconds": "How long the last start of the entry took until it was ready.",
    "mlxops_host_memory_available_bytes": "Memory that is available on the host.",
    "mlxops_host_memory_total_bytes": "Memory of the host.",
    "mlxops_drift": "Ports with this drift, or with a server that is broken in this way.",
    "mlxops_jobs": "Loads and unloads on record, by how they ended.",
}


class RunOutcome(NamedTuple):
    """One run. `at`: its end, in epoch seconds. `result`: of status or reconcile, None if the run
    failed. `host_up`: whether the host answered."""

    host: str
    command: str
    at: float
    exit_code: int
    host_up: bool
    result: Result | None


def metrics_text(outcome: RunOutcome) -> str:
    """All metrics; without a result only those of the run, so that nothing stale remains."""
    samples = {**_run_samples(outcome), **_result_samples(outcome)}
    return "".join(_family(name, list(samples[name])) for name in HELP if name in samples)


def _family(name: str, samples: list[Sample]) -> str:
    if not samples:
        return ""
    lines = [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
    return "\n".join([*lines, *(_line(name, *sample) for sample in samples)]) + "\n"


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value!r}"


def _escaped(text: str) -> str:
    """A label's value. Half a character, which UTF-8 cannot encode, becomes a question mark."""
    sound = text.encode("utf-8", "replace").decode("utf-8")
    return sound.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _run_samples(outcome: RunOutcome) -> dict[str, list[Sample]]:
    host, run = {"host": outcome.host}, {"host": outcome.host, "command": outcome.command}
    return {
        "mlxops_host_up": [(host, int(outcome.host_up))],
        "mlxops_last_run_timestamp_seconds": [(run, round(outcome.at, 3))],
        "mlxops_last_run_exit_code": [(run, outcome.exit_code)],
    }


def _result_samples(outcome: RunOutcome) -> dict[str, Iterable[Sample]]:
    result = outcome.result
    if result is None:
        return {}
    host, memory = {"host": outcome.host}, result.get("memory") or {}
    rows = [(_port_labels(outcome.host, row), row) for row in result.get("ports") or []]
    return {
        "mlxops_port_up": [(labels, int(_is_up(row))) for labels, row in rows],
        "mlxops_port_state": [one for labels, row in rows for one in _state(labels, row)],
        "mlxops_server_resident_bytes": _figures(rows, "rss_bytes"),
        "mlxops_server_uptime_seconds": _figures(rows, "uptime_s"),
        "mlxops_server_start_time_seconds": [
            (labels, round(outcome.at - uptime_s))
            for labels, uptime_s in _figures(rows, "uptime_s")
        ],
        "mlxops_server_latency_seconds": [
            (labels, latency_ms / 1000) for labels, latency_ms in _figures(rows, "latency_ms")
        ],
        "mlxops_server_load_seconds": _figures(rows, "load_s"),
        "mlxops_host_memory_available_bytes": _figures([(host, memory)], "available_bytes"),
        "mlxops_host_memory_total_bytes": _figures([(host, memory)], "total_bytes"),
        "mlxops_drift": _counts(host, "kind", KINDS, _kinds(row for _, row in rows)),
        "mlxops_jobs": _counts(host, "state", JOB_STATES, result.get("jobs") or {}),
    }


def _port_labels(host: str, row: Result) -> Labels:
    return {
        "host": host,
        "port": str(row["port"]),
        "slot": str(row.get("slot_name") or ""),
        "entry": str(row.get("entry") or row.get("wanted") or ""),
    }


def _is_up(row: Result) -> bool:
    return row.get("state") == "ready" and row.get("drift") != "foreign"


def _state(labels: Labels, row: Result) -> Iterator[Sample]:
    for state in dict.fromkeys((*STATES, str(row.get("state")))):
        yield {**labels, "state": state}, int(state == row.get("state"))


def _figures(rows: Iterable[tuple[Labels, Result]], key: str) -> list[Sample]:
    """What is known; an unknown figure has no sample."""
    return [(labels, row[key]) for labels, row in rows if isinstance(row.get(key), (int, float))]


def _kinds(rows: Iterable[Result]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        broken = row["state"] if row.get("broken") else None
        unknown = "unknown" if row.get("state") == "unknown" else None
        for kind in (row.get("drift"), "stray" if row.get("beside") else None, broken, unknown):
            if kind:
                counts[kind] = counts.get(kind, 0) + 1
    return counts


def _counts(
    host: Labels, label: str, known: Iterable[str], counts: Mapping[str, int]
) -> list[Sample]:
    """A sample for each known word, and for those that are new here."""
    return [
        ({**host, label: word}, counts.get(word, 0)) for word in dict.fromkeys((*known, *counts))
    ]
