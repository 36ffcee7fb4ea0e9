"""What a swap does while the old server still serves, so that the port is down only for a stop and
a start."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlxops.demo.loopback import Login
from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.studio import CHAT, Studio, eventually

OPENAI = "mlx-openai-server"


class Stream:
    """A streamed answer that a thread reads. `ended`: it was complete."""

    def __init__(self, port: int) -> None:
        body = json.dumps(
            {"messages": [{"role": "user", "content": "hi"}], "stream": True}
        ).encode()
        headers = {"Content-Type": "application/json"}
        self._request = urllib.request.Request(f"http://127.0.0.1:{port}{CHAT}", body, headers)
        self.begun, self.ended = threading.Event(), False
        self._reader = threading.Thread(target=self._read)

    def _read(self) -> None:
        try:
            with urllib.request.urlopen(self._request, timeout=60) as answer:
                for line in answer:
                    self.begun.set()
                    self.ended = self.ended or b"[DONE]" in line
        except OSError:
            return

    @contextmanager
    def under_way(self) -> Iterator[None]:
        self._reader.start()
        assert self.begun.wait(60)
        yield
        self._reader.join()


@pytest.fixture
def cutting(tmp_path: Path) -> FakeRuntime:
    """A stand-in for mlx_lm.server, which a SIGTERM ends in the middle of an answer."""
    runtime = FakeRuntime(tmp_path / "light", "mlx_lm.server")
    runtime.behaves(tokens=90, token_s=0.1)
    return runtime


@pytest.fixture
def light(
    cutting: FakeRuntime, make_studio: Callable[..., Studio], login: Login, init_copies: InitCopies
) -> Studio:
    studio = make_studio(
        login, {"name": "mlx_lm.server", "command": cutting.command, "grace_s": 30}
    )
    init_copies.init(studio)
    studio.must("load", "amber", studio.ports[0])
    return studio


@pytest.mark.slow
def test_a_swap_waits_for_a_moment_without_requests(light: Studio) -> None:
    port = light.ports[0]
    stream = Stream(port)
    with stream.under_way():
        swap = light.mlxops("load", "jade", port, "--replace")
    assert swap.exit == 0 and stream.ended
    assert "waiting for 1 request in flight (at most 30 s)" in swap.stderr
    assert light.assignments() == {"jade": port}


@pytest.mark.slow
def test_it_waits_no_longer_than_the_grace(light: Studio, cutting: FakeRuntime) -> None:
    cutting.behaves(tokens=1000, token_s=0.1)
    port = light.ports[0]
    stream = Stream(port)
    with stream.under_way():
        light.must("unload", port, "--grace", 0.5)
    assert not stream.ended and light.assignments() == {}


@pytest.mark.slow
def test_a_cancel_while_it_waits_leaves_all_as_it_was(light: Studio) -> None:
    port = light.ports[0]
    before = light.port_row(port)["pid"]
    stream = Stream(port)
    with stream.under_way():
        swap = light.start("--json", "load", "jade", port, "--replace")
        assert swap.stderr is not None
        eventually(lambda: "in flight" in (swap.stderr.readline() if swap.stderr else ""))
        swap.send_signal(2)
        swap.communicate()
    assert swap.returncode == 130 and stream.ended
    assert (light.assignments(), light.port_row(port)["pid"]) == ({"amber": port}, before)


@pytest.mark.slow
def test_of_a_server_that_finishes_its_answers_the_open_ones_are_told(
    known: Studio, fake_runtime: FakeRuntime
) -> None:
    port = known.ports[0]
    fake_runtime.behaves(tokens=60, token_s=0.1)
    known.must("load", "amber", port)
    stream = Stream(port)
    with stream.under_way():
        unloaded = known.mlxops("unload", port, "--grace", 60)
    assert unloaded.exit == 0 and stream.ended
    assert f"{port} amber: waiting for 1 request in flight\n" in unloaded.stderr


def test_the_new_model_s_files_are_read_while_the_old_one_serves(known: Studio) -> None:
    port = known.ports[0]
    assert "reading weights" not in known.mlxops("load", "amber", port).stderr
    told = known.mlxops("load", "jade", port, "--replace").stderr
    assert 0 < told.index("jade: reading weights") < told.index("jade: stopping amber")


@pytest.mark.slow
def test_every_start_is_kept_and_tells_the_next_one_how_long_it_takes(known: Studio) -> None:
    port = known.ports[0]
    first = known.must("load", "amber", port)
    assert known.entry("amber")["start_s"] == {OPENAI: [pytest.approx(first["start_s"], abs=0.02)]}
    assert known.must("load", "amber", port)["start_s"] is None
    known.must("unload", port)
    known.edit(lambda registry: registry["models"]["amber"].update(start_s={OPENAI: [7.2]}))
    (start,) = known.must("load", "amber", port, "--dry-run")["actions"]
    assert start["reason"].endswith(", usually 7 s")
    assert "waiting for the server, usually 7 s" in known.mlxops("load", "amber", port).stderr
    assert len(known.entry("amber")["start_s"][OPENAI]) == 2


@pytest.mark.slow
def test_the_starts_before_say_how_long_the_next_one_may_take(known: Studio) -> None:
    known.runtime.pop("startup_timeout_s")
    known.describe()
    known.edit(lambda registry: registry["models"]["amber"].update(start_s={OPENAI: [100, 260]}))
    loaded = known.mlxops("load", "amber", known.ports[0])
    assert "amber: waiting for the server, usually 260 s\n" in loaded.stderr
    assert (
        "warning: this start may take 260 s, but mlx-openai-server aborts a start" in loaded.stderr
    )
