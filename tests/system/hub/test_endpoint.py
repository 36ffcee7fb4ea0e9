"""The host file's address of the Hub reaches the downloads on the host, and errors name it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.studio import Studio

Pointed = Callable[[str], Studio]


@pytest.fixture
def pointed(
    make_studio: Callable[..., Studio],
    studio_runtime: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Pointed:
    """A local Studio whose host file names this Hub; the login names none."""
    monkeypatch.delenv("HF_ENDPOINT", raising=False)

    def studio(endpoint: str) -> Studio:
        made = make_studio(None, studio_runtime)
        made.describe(hub_python=sys.executable, hub_endpoint=endpoint)
        return made

    return studio


def test_the_key_of_the_host_file_is_used(pointed: Pointed, tmp_path: Path) -> None:
    write_cache(tmp_path / "remote", "tiny/onyx", model_files([" ONYX"]))
    with FakeHub(tmp_path / "remote") as hub:
        studio = pointed(hub.url + "/")
        assert studio.must("fit", "tiny/onyx")["source"] == "hub"
        assert hub.seen


class Nothing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def no_hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_a_server_that_is_no_hub_is_named_in_few_words(pointed: Pointed, no_hub: str) -> None:
    answer = pointed(no_hub).mlxops("fit", "tiny/onyx")
    assert answer.exit == 9
    assert f"the Hub at {no_hub} does not serve tiny/onyx to " in answer.error["message"]
    assert answer.error["message"].endswith(": HTTP status 404")
    assert "endpoint under [hub]" in answer.error["hint"]
