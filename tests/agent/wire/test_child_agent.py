"""A further agent on the same host: one request, its events, its result or its error. Runs on
Python 3.9 too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import ModelUnknown, Usage
from mlxops.agent.wire.child_agent import NEVER, LocalAgent
from tests.support.launching import Launcher, context


def request(folder: Path, verb: str, **args: Any) -> dict[str, Any]:
    light = Launcher(folder, "mlx_lm.server")
    with context(light, folder, light.procs) as it:
        site = dict(it.site.raw)
    return {"verb": verb, "args": args, "site": site, "who": {"user": "ann", "from": "mini"}}


def test_its_result_comes_back(tmp_path: Path) -> None:
    with LocalAgent(request(tmp_path, "list")) as agent:
        assert agent.result(NEVER)["models"] == []
    assert list((tmp_path / "state" / "agent").iterdir())


def test_its_events_come_before_its_error(tmp_path: Path) -> None:
    asked = request(tmp_path, "load", model="no-such")
    asked["args"]["port"] = asked["site"]["ports"][0]
    with LocalAgent(asked) as agent:
        assert agent.record(NEVER)["message"].startswith("checking no-such")
        with pytest.raises(ModelUnknown):
            agent.result(NEVER)


def test_a_wrong_argument_is_its_error(tmp_path: Path) -> None:
    with LocalAgent(request(tmp_path, "list", more=1)) as agent, pytest.raises(Usage):
        agent.result(NEVER)


@pytest.mark.parametrize("fault", ["a file", "others may write"])
def test_it_runs_without_a_usable_state_folder(fault: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    if fault == "a file":
        state.write_text("")
    else:
        state.mkdir()
        state.chmod(0o777)
    with LocalAgent(request(tmp_path, "list")) as agent:
        assert agent.record(NEVER)["event"] == "warning"
        assert agent.result(NEVER)["models"] == []
