"""Models whose chat template or tokenizer is not where most have it, on the real servers.

The tiny models answer `I am NAME.` only to a prompt that their own template made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import layouts, templates
from tests.support.studio import Studio

ELSEWHERE = {
    "sidecar": templates.elsewhere("SIDECAR", "chat_template.json"),
    "tools": templates.elsewhere("TOOLS", "additional_chat_templates/tool_use.jinja"),
}
REAL = [
    "light_runtime",
    pytest.param("openai_runtime", marks=pytest.mark.openai_server),
]


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, make_studio: Callable[..., Studio]) -> Studio:
    """A local Studio of real servers with one port's worth of models."""
    runtime: dict[str, Any] = request.getfixturevalue(request.param)
    return make_studio(None, runtime)


def warnings(studio: Studio, *words: object) -> str:
    answer = studio.mlxops(*words)
    return answer.stdout + answer.stderr


@pytest.mark.slow
def test_a_template_that_the_tokenizer_does_not_read_is_given_to_the_server(real: Studio) -> None:
    port = real.ports[0]
    for name, files in ELSEWHERE.items():
        real.add(f"tiny/{name}", files)
    real.must("init")
    for name in ELSEWHERE:
        shown = real.must("show", name)["sources"]["chat_template"]
        assert shown["value"].endswith(("chat_template.json", "tool_use.jinja"))
        assert "of the snapshot, which its tokenizer does not read" in shown["from"]
        loaded = real.must("load", name, port, "--replace")
        assert real.ask(port, loaded["served_model"]) == f"I am {name.upper()}."
        row = real.port_row(port)
        assert (row["state"], row["drift"]) == ("ready", None)


@pytest.mark.slow
def test_a_base_model_is_told_as_one(real: Studio) -> None:
    port, light = real.ports[0], real.runtime["name"] == "mlx_lm.server"
    real.add("tiny/base", templates.base("BASE"))
    said = {"init": warnings(real, "init")}
    real.must("load", "amber", port)
    pid = real.port_row(port)["pid"]
    answer = real.mlxops("load", "base", port, "--replace")
    said |= {"load": answer.stdout + answer.stderr, "show": warnings(real, "show", "base")}
    said["verify"] = warnings(real, "verify")
    for text in said.values():
        assert "no chat template found (a base model?)" in text
        assert "mlxops set " in text and "chat_template=PATH" in text
    # mlx_lm.server answers without a template; the other would fail, so nothing was stopped for it.
    assert answer.exit == (0 if light else 1)
    assert light or real.port_row(port)["pid"] == pid


@pytest.mark.slow
def test_code_of_the_repository_runs_only_on_a_word(real: Studio) -> None:
    port = real.ports[0]
    real.add("tiny/kimi", layouts.as_kimi(layouts.saying("KIMI")))
    command = "args=--trust-remote-code"
    assert command in warnings(real, "init")
    assert real.must("show", "kimi")["entry"].get("args") in (None, [])
    assert command in warnings(real, "show", "kimi") and command in warnings(real, "verify")
    real.must("load", "amber", port)
    pid = real.port_row(port)["pid"]
    refused = real.mlxops("load", "kimi", port, "--replace")
    assert refused.exit == 1 and command in refused.error["hint"], refused
    assert real.port_row(port)["pid"] == pid
    real.must("set", "kimi", command)
    assert "trust" not in str(real.must("show", "kimi")["notes"])
    loaded = real.must("load", "kimi", port, "--replace")
    assert real.ask(port, loaded["served_model"]) == "I am KIMI."


@pytest.mark.slow
@pytest.mark.openai_server
def test_code_in_place_of_a_template_that_the_server_cannot_call(
    openai_runtime: dict[str, Any], make_studio: Callable[..., Studio]
) -> None:
    """mlx-openai-server 1.8.1 passes reasoning_effort to it, and its chats fail with 500."""
    studio = make_studio(None, openai_runtime)
    port = studio.ports[0]
    studio.add("tiny/sparse", templates.configured("SPARSE", chat_template_type="deepseek_v32"))
    studio.must("init")
    shown = studio.must("show", "sparse")
    assert "(chat_template_type deepseek_v32)" in shown["sources"]["chat_template"]["from"]
    studio.must("load", "amber", port)
    refused = studio.mlxops("load", "sparse", port, "--replace")
    assert refused.exit == 1 and "enable_thinking" in refused.error["message"]
    assert studio.port_row(port)["entry"] == "amber"
    # It is so: what --force starts gives no answer.
    assert studio.mlxops("load", "sparse", studio.ports[1], "--force", "--grace", 5).exit == 8


@pytest.mark.slow
def test_code_in_place_of_a_template_that_the_server_calls(
    light_runtime: dict[str, Any], make_studio: Callable[..., Studio]
) -> None:
    studio = make_studio(None, light_runtime)
    studio.add("tiny/sparse", templates.configured("SPARSE", chat_template_type="deepseek_v32"))
    told = warnings(studio, "init")
    assert "no chat template" not in told and "passes" not in told
    assert studio.must("load", "sparse", studio.ports[0])["state"] == "ready"


@pytest.mark.slow
def test_a_list_of_templates_without_a_default(real: Studio) -> None:
    template = layouts.saying("X")["chat_template.jinja"].decode()
    rows = [{"name": "tool_use", "template": template}, {"name": "rag", "template": "{{ 1 }}"}]
    real.add("tiny/listed", templates.configured("LISTED", chat_template=rows))
    real.must("init")
    path = real.must("show", "listed")["entry"]["chat_template"]
    assert path.endswith("tokenizer_config.json")
    assert json.loads(real.registry_path.read_text())["models"]["listed"]["chat_template"] == path
    loaded = real.must("load", "listed", real.ports[0])
    assert real.ask(real.ports[0], loaded["served_model"]) == "I am LISTED."
