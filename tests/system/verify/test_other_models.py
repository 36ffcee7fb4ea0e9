"""A client that makes the real mlx_lm.server load another model by its name."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.studio import Studio


@pytest.fixture
def light(make_studio: Callable[..., Studio], light_runtime: dict[str, Any]) -> Studio:
    studio = make_studio(None, light_runtime)
    studio.must("init")
    studio.must("load", "amber", studio.ports[0])
    return studio


def refused(studio: Studio, name: str) -> int:
    """The status of the refusal."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        studio.ask(studio.ports[0], name)
    caught.value.close()
    return int(caught.value.code)


def by_path(studio: Studio) -> str:
    return str(studio.entry("jade")["cache_path"])


@pytest.mark.parametrize("name", [lambda _: "tiny/jade", by_path], ids=["name", "path"])
def test_status_and_verify_notice_it_and_verify_brings_the_model_back(
    light: Studio, name: Callable[[Studio], str]
) -> None:
    port = light.ports[0]
    own = light.ask(port, "default_model")
    assert light.mlxops("verify", port).exit == 0
    assert light.port_row(port)["drift"] is None

    assert light.ask(port, name(light)) != own
    row = light.port_row(port)
    assert (row["state"], row["drift"], row["next"]) == (
        "ready",
        "switched",
        f"mlxops verify {port}",
    )
    assert "asked for another model by name" in row["reason"]
    assert light.mlxops("status", "--check").exit == 11

    answer = light.mlxops("verify", port)
    assert answer.exit == 11
    (found,) = answer.document["result"]["ports"]
    assert [check["check"] for check in found["checks"] if check["ok"] is False] == ["registry"]
    assert light.ask(port, "default_model") == own
    assert light.mlxops("verify", port).exit == 0
    assert light.port_row(port)["drift"] is None


def test_a_name_that_is_not_in_the_cache_is_noticed_too(light: Studio) -> None:
    """It makes the server drop its model, which the next request loads again."""
    port = light.ports[0]
    assert refused(light, "nobody/knows") == 404
    light.ask(port, "default_model")
    assert light.port_row(port)["drift"] == "switched"


def test_loading_the_model_again_leaves_its_server(light: Studio) -> None:
    port = light.ports[0]
    light.ask(port, "tiny/jade")
    pid = light.port_row(port)["pid"]
    light.must("load", "amber", port)
    assert light.port_row(port)["pid"] == pid


def test_an_empty_cache_makes_such_requests_fail(
    make_studio: Callable[..., Studio], light_runtime: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    env = {"HF_HUB_CACHE": str(tmp_path / "empty")}
    studio = make_studio(None, {**light_runtime, "env": env})
    studio.must("init")
    port = studio.ports[0]
    studio.must("load", "amber", port)
    assert refused(studio, "tiny/jade") == 404
    assert studio.ask(port, "default_model")
