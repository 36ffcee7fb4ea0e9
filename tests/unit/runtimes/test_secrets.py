"""Options whose value is a secret."""

from __future__ import annotations

import pytest

from mlxops.agent.errors import Usage
from mlxops.agent.runtimes.secrets import masked, refuse_secrets, secret_options


@pytest.mark.parametrize(
    "option", ["--api-key", "--api_key", "--API-KEY", "--api-k", "--api-keys", "--hf-token"]
)
def test_the_value_is_masked_in_either_form(option: str) -> None:
    assert masked(["serve", option, "sk-1", "--port", "8100"]) == [
        "serve",
        option,
        "***",
        "--port",
        "8100",
    ]
    assert masked([f"{option}=sk-1", "sk-2"]) == [f"{option}=***", "sk-2"]
    with pytest.raises(Usage) as caught:
        refuse_secrets([f"{option}=sk-1"])
    assert "sk-1" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "words",
    [
        ["--max-tokens", "8"],
        ["--api-server-count", "2"],
        ["--tokenizer", "x"],
        ["api-key", "x"],
        ["--served-model-name", "--", "api-key"],
        [],
    ],
)
def test_other_words_stay(words: list[str]) -> None:
    assert masked(words) == words
    assert secret_options(words) == ()
    refuse_secrets(words)
