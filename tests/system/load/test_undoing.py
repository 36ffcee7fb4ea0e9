"""Messages while a job is undone, cancelled or only planned: they name what really runs."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import write_cache
from tests.support.fakehub import FakeHub
from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio, eventually, finished
from tests.support.watching import job

pytestmark = pytest.mark.usefixtures("ctrl_c")


@pytest.mark.slow
def test_a_dry_run_names_what_it_would_stop(near: Studio) -> None:
    one, two, _ = near.ports
    near.must("load", "jade", two)
    planned = near.must("load", "topaz", one, "--dry-run", "--replace")["actions"]
    assert [(a["action"], a["entry"]) for a in planned] == [("stop", "amber"), ("start", "topaz")]
    text = finished(near.start("load", "topaz", one, "--dry-run", "--replace")).stdout
    pid = near.port_row(one)["pid"]
    assert (
        f"would stop amber on {one}: pid {pid} serves " in text
        and f"would start topaz on {one}" in text
    )
    assert (
        f"would stop jade on {two}: pid " in finished(near.start("unload", two, "--dry-run")).stdout
    )
    every = finished(near.start("unload-all", "--dry-run")).stdout
    assert f"would stop amber on {one}" in every and f"would free {two} (jade)" in every
    assert near.assignments() == {"amber": one, "jade": two}


@pytest.mark.slow
def test_a_server_that_no_entry_knows_is_named_by_its_port(near: Studio) -> None:
    one = near.ports[0]

    def forget(registry: dict[str, Any]) -> None:
        registry["models"]["amber"].update(port=None)
        registry["models"]["amber"].pop("process")

    near.edit(forget)
    planned = near.must("load", "topaz", one, "--dry-run", "--replace")["actions"]
    assert [(a["action"], a["entry"]) for a in planned] == [("stop", None), ("start", "topaz")]


@pytest.fixture
def draining(
    make_studio: Callable[..., Studio], light: FakeRuntime, tmp_path: Path, init_copies: InitCopies
) -> Studio:
    """mlx_lm.server, which is not stopped while a request is open: amber has one, jade has none."""
    runtime = {
        "name": "mlx_lm.server",
        "command": light.command,
        "startup_timeout_s": 30,
        "grace_s": 60,
    }
    studio = make_studio(None, runtime, env={"HOME": str(tmp_path / "home")})
    init_copies.init(studio)
    studio.must("load", "amber", studio.ports[0])
    studio.must("load", "jade", studio.ports[1])
    return studio


def test_ctrl_c_during_unload_all_says_which_servers_still_run(
    draining: Studio, light: FakeRuntime
) -> None:
    one, two, _ = draining.ports
    light.behaves("tiny--amber", hang=["/v1/chat/completions"])
    body = '{"messages": []}'
    words = ["curl", "-s", "-m", "60", "-d", body, f"http://127.0.0.1:{one}/v1/chat/completions"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as request:
        try:
            eventually(
                lambda: [seen for seen in light.journal("request") if "chat" in seen["path"]]
            )
            everything = draining.start("--json", "unload-all")
            eventually(lambda: draining.assignments() == {"amber": one})
            everything.send_signal(signal.SIGINT)
            answer = finished(everything)
        finally:
            request.kill()
    assert answer.exit == 130 and answer.error["kind"] == "Interrupted", answer
    pid = draining.port_row(one)["pid"]
    message = answer.error["message"]
    assert "already finished" not in message
    assert (
        f"not unloaded: {one} (amber, pid {pid}, ready)" in message
        and f"; unloaded: {two}" in message
    )
    rows = {row["port"]: row for row in answer.error["ports"]}
    assert (rows[one]["entry"], rows[one]["ok"], rows[one]["state"]) == ("amber", False, "ready")
    assert (rows[two]["ok"], rows[two]["changed"], rows[two]["state"]) == (True, True, "free")
    assert draining.assignments() == {"amber": one}


@pytest.mark.slow
def test_a_cancelled_load_is_cancelled_and_points_to_no_log_of_a_failure(
    near: Studio, fake_runtime: FakeRuntime
) -> None:
    port = near.ports[0]
    fake_runtime.behaves("tiny--topaz", load_s=20)
    load = near.start("--json", "load", "topaz", port, "--replace")
    job(near, port, "wait")
    load.send_signal(signal.SIGINT)
    answer = finished(load)
    assert answer.exit == 130 and "amber serves again" in answer.error["message"]
    assert answer.error["hint"] == "mlxops status"
    past = near.must("jobs")["jobs"][0]
    assert (past["why"], past["state"]) == (f"load topaz {port}", "cancelled")
    told = finished(near.start("jobs")).stdout
    assert told.splitlines()[1].split()[0] == "cancelled" and "amber serves again" not in told
    followed = near.mlxops("follow", past["job"])
    assert followed.exit == 130 and followed.error["kind"] == "Interrupted"


@pytest.mark.slow
def test_while_it_is_undone_the_port_says_so(near: Studio, fake_runtime: FakeRuntime) -> None:
    port = near.ports[0]
    fake_runtime.behaves("tiny--topaz", load_s=20, ignore=["TERM"])
    load = near.start("load", "topaz", port, "--replace")
    job(near, port, "wait")
    eventually(lambda: len(fake_runtime.journal("started")) == 2)
    fake_runtime.behaves("tiny--amber", load_s=4)
    load.send_signal(signal.SIGINT)
    row = eventually(
        lambda: (row := near.port_row(port))["reason"].startswith("rolling back") and row
    )
    assert (row["state"], row["drift"]) == ("stopping", None)
    assert row["reason"].startswith("rolling back: stopping the new server: load topaz")
    row = eventually(lambda: (row := near.port_row(port))["state"] == "starting" and row)
    assert row["reason"].startswith("rolling back: restarting amber: load topaz")
    finished(load)
    assert near.port_row(port)["reason"] == ""


@pytest.fixture
def near_hub(empty_hub: FakeHub, tiny_models: Any) -> FakeHub:
    padded = {**tiny_models["tiny/amber"], "model-padding.safetensors": b"x" * (1 << 20)}
    write_cache(empty_hub.root, "tiny/new", padded)
    empty_hub.faults.rate = 64 << 10
    return empty_hub


@pytest.mark.slow
def test_a_download_says_how_far_it_is_and_the_port_what_it_is(
    near: Studio, near_hub: FakeHub
) -> None:
    one, _, three = near.ports
    near.env["HF_ENDPOINT"] = near_hub.url
    for port, state in ((one, "ready"), (three, "free")):
        load = near.start("--json", "load", "tiny/new", port, "--replace")
        try:
            row = eventually(
                lambda port=port: (row := near.port_row(port))["reason"].count(" %)") and row
            )
        finally:
            load.send_signal(signal.SIGINT)
            finished(load)
        assert (row["state"], row["drift"]) == (state, None)
        assert (
            row["reason"].startswith("downloading tiny/new")
            and f"load tiny/new {port}" in row["reason"]
        )


@pytest.mark.slow
def test_there_is_no_job(near: Studio) -> None:
    nothing = near.mlxops("follow")
    last = f"no job is running on studio; the last one (load amber {near.ports[0]}) ended "
    assert nothing.exit == 1 and nothing.error["message"].startswith(last)


@pytest.mark.slow
def test_jobs_lists_the_last_ones(near: Studio) -> None:
    for _ in range(2):
        near.must("unload", near.ports[0])
        near.must("load", "amber", near.ports[0])
    every = near.must("jobs")["jobs"]
    assert len(every) == 5 and near.must("jobs", "-n", 2)["jobs"] == every[:2]
    told = finished(near.start("jobs", "-n", 2)).stdout.splitlines()
    assert len(told) == 4 and told[3] == "3 older: mlxops jobs -n 5"
    assert told[0].split()[2:4] == ["AGE", "DURATION"] and every[0]["ended"]
