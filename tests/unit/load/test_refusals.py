"""What the loader says against a model, as the reason against a load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import Failed
from mlxops.agent.load import refusals
from mlxops.agent.loader.description import Description
from mlxops.agent.programs.installed import Installed
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES


def reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, found: str | None, **fields: Any
) -> str:
    described = Description("mlx-lm 9", template=found)
    monkeypatch.setattr(refusals, "describe_model", lambda *_: described)
    entry = Entry("opal", {**REQUIRED, "cache_path": str(folder), **fields})
    ctx: Any = None
    try:
        refusals.require_loadable(ctx, entry, Installed(RUNTIMES[runtime], {}))
    except Failed as fault:
        return f"{fault.message}: {fault.hint}"
    return ""


def test_a_template_that_the_tokenizer_does_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = "mlx-openai-server"
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert reason(tmp_path, monkeypatch, server, "") == (
        "opal cannot serve: the tokenizer of mlx-lm 9 finds no chat template, so every chat fails:"
        " mlxops set opal chat_template=PATH"
    )
    assert reason(tmp_path, monkeypatch, server, None) == ""
    assert reason(tmp_path, monkeypatch, server, "its class") == ""
    assert reason(tmp_path, monkeypatch, server, "", chat_template="/x.jinja") == ""
    assert reason(tmp_path, monkeypatch, "mlx_lm.server", "") == ""
    (tmp_path / "config.json").write_text('{"model_type": "gpt_oss"}')
    assert reason(tmp_path, monkeypatch, server, "") == ""
