"""A load asks the real mlx-lm about the model, and stops no server for one that it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.studio import Studio

pytestmark = pytest.mark.slow
HEADER = b'{"mtp.fc.weight":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'
EXTRA = len(HEADER).to_bytes(8, "little") + HEADER + bytes(4)
OWN_CODE = {"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}}


@pytest.fixture
def here(make_studio: Callable[..., Studio], light_runtime: dict[str, Any]) -> Studio:
    studio = make_studio(None, light_runtime)
    studio.add("tiny/basalt", model_files(["I", " am", " basalt"]))
    return studio


def changed(name: str, **fields: Any) -> dict[str, bytes]:
    return {name: json.dumps({**json.loads(model_files()[name]), **fields}).encode()}


@pytest.mark.parametrize(
    ("files", "why", "hint"),
    [
        (
            {"model-mtp.safetensors": EXTRA},
            "model-mtp.safetensors: Received 1 parameters not in model: mtp.fc.weight",
            "--force",
        ),
        (changed("config.json", num_hidden_layers=3), "Missing 11 parameters", "--force"),
        ({"tokenizer.json": b"{}"}, "cannot load the tokenizer in", "--force"),
        (
            {
                "tokenizer.json": b"",
                "tiktoken.model": b"aGk= 0",
                "tokenization_own.py": b"raise SystemExit",
                **changed("tokenizer_config.json", tokenizer_class="Own", **OWN_CODE),
            },
            "opal cannot serve: its tokenizer is Python code of the repository (tokenization_own",
            "mlxops set opal args=--trust-remote-code",
        ),
        (
            {"chat_template.jinja": b"{{ raise_exception('never') }}"},
            "cannot render the chat template in",
            "--force",
        ),
    ],
)
def test_the_old_server_serves_on(
    here: Studio, files: dict[str, bytes], why: str, hint: str
) -> None:
    port = here.ports[0]
    here.must("init")
    here.must("load", "basalt", port)
    whole = {name: text for name, text in model_files().items() if files.get(name) != b""}
    here.add("tiny/opal", {**whole, **{name: text for name, text in files.items() if text}})
    here.must("register", "opal", "tiny/opal")
    done = here.mlxops("load", "opal", port, "--replace")
    error = done.error
    assert done.exit == 1 and why in error["message"] and hint in error["hint"], error
    assert here.ask(port) == "I am basalt"


def test_fit_tells_what_the_loader_would_read(here: Studio) -> None:
    here.must("init")
    loader = here.must("fit", "basalt")["loader"]
    assert loader["program"].startswith("mlx-lm ") and loader["remote_code"] == ""
    assert loader["template"] == "chat_template.jinja"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {*loader["reads"]}
    assert "README.md" not in loader["reads"]


def test_fit_refuses_what_the_loader_cannot_build(here: Studio) -> None:
    """The type is known, its settings are impossible."""
    here.add("tiny/opal", {**model_files(), **changed("config.json", hidden_size="wide")})
    here.must("register", "opal", "tiny/opal")
    error = here.mlxops("fit", "opal").error
    assert error["kind"] == "Failed" and "cannot load opal: TypeError" in error["message"], error
