"""A gpt_oss model from an empty registry to an answer, with the real mlx-openai-server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench.memory import most_held
from tests.support.openaiprogram import openai_program
from tests.support.studio import Studio

from .server import outcome, vocabulary
from .speech import SPEECHES
from .table import both, read

pytestmark = pytest.mark.slow


@pytest.mark.openai_server
def test_a_gpt_oss_whose_snapshot_has_no_template_serves_without_a_raw_tag(
    make_studio: Callable[..., Studio], openai_runtime: dict[str, Any], tmp_path: Path
) -> None:
    speech, folder, program = SPEECHES["gpt_oss"], tmp_path / "templates", openai_program()
    assert program
    folder.mkdir()
    (folder / "gpt_oss.jinja").write_text(speech.template)
    env = {
        "HF_HUB_OFFLINE": "1",
        "TIKTOKEN_ENCODINGS_BASE": str(vocabulary(tmp_path, program.parent.parent)),
    }
    studio = make_studio(None, {**openai_runtime, "env": env})
    studio.describe(templates=str(folder))
    port = studio.ports[0]
    studio.add(
        "tiny/gpt-oss",
        {name: raw for name, raw in speech.files().items() if name != "chat_template.jinja"},
    )
    fit = studio.must("fit", "tiny/gpt-oss", port)
    result = studio.must("load", "tiny/gpt-oss", port)
    assert fit["fits"] and most_held(studio.entry("gpt-oss")["process"]["pid"]) <= fit["need_bytes"]
    assert [check["ok"] for check in result["proof"]["checks"]] == [True, True, True]
    assert studio.entry("gpt-oss")["chat_template"] == str(folder / "gpt_oss.jinja")
    found = outcome(port, studio.slot(port), speech)
    assert found.right and read()["gpt_oss"][3:5] == (both(found.answers), both(found.calls))
