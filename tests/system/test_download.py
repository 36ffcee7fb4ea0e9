"""`load` of a model that is not there yet: downloaded by the host, with the host's own Hub settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakehub import FakeHub
from studio import Studio

from mlxops.demo.tinymodel import model_files, write_cache

ABSENT = "tiny/onyx"


def test_a_load_downloads_with_the_hosts_endpoint_and_token_while_servers_stay_offline(
    make_studio: Callable[..., Studio], light_runtime: dict[str, Any], tmp_path: Path
) -> None:
    assert light_runtime["env"]["HF_HUB_OFFLINE"] == "1"
    write_cache(tmp_path / "remote", ABSENT, model_files(["I", " am", " ONYX", "."], seed=7))
    with FakeHub(tmp_path / "remote", gated={ABSENT}) as hub:
        studio = make_studio(None, light_runtime, env={"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token})
        [port, *_] = studio.ports
        result = studio.must("load", ABSENT, port)
        assert (result["state"], result["changed"]) == ("ready", True)
        assert "ONYX" in studio.ask(port)
        assert {seen.token for seen in hub.seen if "/resolve/" in seen.path} == {hub.token}
        assert os.path.dirname(studio.entry(result["entry"])["cache_path"]).startswith(str(studio.hub))


def test_a_typo_is_refused_before_anything_is_touched(
    make_studio: Callable[..., Studio], light_runtime: dict[str, Any], tmp_path: Path
) -> None:
    with FakeHub(tmp_path) as hub:
        studio = make_studio(None, light_runtime, env={"HF_ENDPOINT": hub.url})
        answer = studio.mlxops("load", "tiny/onix", studio.ports[0])
        assert (answer.exit, answer.error["kind"]) == (9, "ModelUnknown")
        assert list(studio.hub.glob("models--tiny--onix*")) == []
