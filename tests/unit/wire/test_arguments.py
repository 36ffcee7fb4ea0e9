"""The arguments that reach a verb: each one known, typed and bounded."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from mlxops.agent import main
from mlxops.agent.errors import LoginRefused, MlxopsError, Usage
from mlxops.agent.wire import arguments, values
from mlxops.hosts import toml as hostfile

STRANGE: list[Any] = [
    "x" * 9999,
    -1,
    0,
    1e308,
    math.nan,
    math.inf,
    10**400,
    True,
    [],
    {},
    [[1]],
    {"a": 1},
    "\ud800",
    "a\0b",
]
PORT = 8100


def right(verb: str) -> dict[str, Any]:
    """Valid arguments of a verb."""
    whole: dict[str, Any] = {
        "what": "a",
        "model": "a",
        "name": "a",
        "new": "b",
        "changes": {"args": "x"},
        "port": PORT,
        "ports": [PORT],
        "verbs": ["status"],
    }
    one_of = arguments.NEEDS_ONE_OF.get(verb, ())[:1]
    return {key: whole[key] for key in (*arguments.REQUIRED.get(verb, ()), *one_of)}


def test_every_verb_of_the_agent_has_its_arguments_in_the_table() -> None:
    assert {*arguments.ARGUMENTS} == {*main.VERBS} - {"rank"}


@pytest.mark.parametrize("verb", sorted(arguments.ARGUMENTS))
def test_whatever_is_sent_is_taken_or_refused_as_wrong_usage(verb: str) -> None:
    assert arguments.check_arguments(verb, right(verb)) == right(verb)
    for key in (*arguments.ARGUMENTS[verb], "no such argument"):
        for value in STRANGE:
            try:
                done = arguments.check_arguments(verb, {**right(verb), key: value})
            except Usage as exc:
                assert exc.exit_code == 2
                continue
            json.dumps(done, allow_nan=False)
    for sent in ([], "x", 7, [1]):
        with pytest.raises(Usage):
            arguments.check_arguments(verb, sent)


@pytest.mark.parametrize("value", [1e308, 1e-9 * -1, math.nan, math.inf, 0, True, "5", 1e6 + 1])
def test_seconds_mean_the_same_in_a_host_file_and_in_a_request(value: Any) -> None:
    with pytest.raises(ValueError):
        hostfile.seconds(value)
    with pytest.raises(Usage, match="grace_s must be a number of seconds"):
        arguments.check_arguments("unload", {"port": PORT, "grace_s": value})


def test_a_port_asked_for_a_thousand_times_is_asked_once() -> None:
    assert arguments.check_arguments("status", {"ports": [PORT] * values.MAX_PORTS}) == {
        "ports": [PORT]
    }
    with pytest.raises(Usage, match="at most 256"):
        arguments.check_arguments("status", {"ports": [PORT] * 1000})


@pytest.mark.parametrize("grace", [1e-9, 1.0, 600.0])
def test_a_restricted_key_does_not_choose_how_hard_a_server_is_stopped(grace: float) -> None:
    for verb in ("unload", "unload-all"):
        with pytest.raises(LoginRefused, match="cannot set grace_s"):
            arguments.check_restricted(
                verb, {**right(verb), "grace_s": grace}, ("unload", "unload-all")
            )
        assert arguments.check_restricted(verb, {**right(verb), "grace_s": None}, (verb,)) == right(
            verb
        )


def test_status_deep_is_a_matter_of_the_verb_verify() -> None:
    with pytest.raises(LoginRefused, match="needs the verb verify"):
        arguments.check_restricted("status", {"deep": True}, ("status",))
    assert arguments.check_restricted("status", {"deep": True}, ("status", "verify")) == {
        "deep": True
    }
    assert arguments.check_restricted("status", {"deep": False}, ("status",)) == {"deep": False}


def test_a_restricted_key_starts_no_server_through_reconcile() -> None:
    with pytest.raises(LoginRefused, match="starts servers"):
        arguments.check_restricted("reconcile", {"restart": True}, ("reconcile", "status"))
    allowed = {"restart": False}
    assert arguments.check_restricted("reconcile", allowed, ("reconcile",)) == allowed


@pytest.mark.parametrize(
    ("verb", "args"), [("logs", {"port": PORT, "lines": 10**6}), ("verify", {"timeout_s": 9e5})]
)
def test_one_call_of_a_restricted_key_is_bounded(verb: str, args: dict[str, Any]) -> None:
    assert arguments.check_arguments(verb, args) == args
    with pytest.raises(MlxopsError, match="a restricted key"):
        arguments.check_restricted(verb, args, (verb,))


def test_what_is_told_to_a_restricted_key_has_no_trace() -> None:
    record = {
        "error": {"kind": "Failed", "trace": "x"},
        "result": {"ports": [{"error": {"trace": "x", "hint": ""}}]},
    }
    assert (
        "trace" not in json.dumps(main.without_traces(record))
        and main.without_traces(record)["error"]["kind"] == "Failed"
    )
