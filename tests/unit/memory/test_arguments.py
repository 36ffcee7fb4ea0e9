"""What an entry's `args` say about memory."""

from __future__ import annotations

from typing import Any

import pytest

from mlxops.agent.memory.arguments import Settings, read_settings

LM, OPENAI = "mlx_lm.server", "mlx-openai-server"
NEW = ("--decode-concurrency", "--prompt-cache-size", "--prompt-cache-dir")
OLD = ("--prompt-cache-size",)


@pytest.mark.parametrize(
    ("runtime", "options", "words", "found"),
    [
        (LM, NEW[:2], "", {"prompts": 10, "requests": 32, "quantized_after": 5000}),
        (LM, NEW[:2], "--prompt-cache-size 2", {"prompts": 2, "requests": 32}),
        (LM, NEW[:2], "--prompt-cache-size=0", {"prompts": 0}),
        (LM, NEW[:2], "--prompt-cache-bytes 8GB", {"prompts_bytes": 8 * 10**9}),
        (LM, NEW[:2], "--prompt-cache-bytes 1.5g", {"prompts_bytes": 1_500_000_000}),
        (LM, NEW[:2], "--prompt-cache-bytes 512M", {"prompts_bytes": 512 * 10**6}),
        (LM, NEW[:2], "--prompt-cache-bytes 4096", {"prompts_bytes": 4096}),
        (LM, NEW[:2], "--prompt-cache-bytes much", {"prompts_bytes": None}),
        (LM, NEW[:2], "--decode-concurrency 4", {"requests": 4}),
        (LM, NEW[:2], "--prefill-step-size 512", {"chunk": 512}),
        # Neither a draft model nor a quantized cache can be batched.
        (LM, NEW[:2], "--draft-model d --decode-concurrency 4", {"requests": 1}),
        (LM, NEW[:2], "--kv-bits 4", {"requests": 1, "kv_bits": 4, "quantized_after": 5000}),
        (LM, NEW[:2], "--kv-bits 4 --quantized-kv-start 0", {"quantized_after": 0}),
        (LM, NEW[:2], "--kv-bits 4 --prompt-cache-bytes 8GB", {"prompts_bytes": None}),
        # mlx-openai-server 1.8 keeps prompts on disk.
        (OPENAI, NEW, "--prompt-cache-size 3", {"prompts": 0, "requests": 32}),
        (OPENAI, NEW, "--disable-batching", {"requests": 1}),
        # Its batches are not quantized.
        (OPENAI, NEW, "--kv-bits=8", {"kv_bits": None, "requests": 32}),
        (
            OPENAI,
            NEW,
            "--kv-bits=8 --kv-group-size 32 --disable-batching",
            {"kv_bits": 8, "kv_group": 32, "quantized_after": 0},
        ),
        (OPENAI, NEW, "--draft-model-path d --kv-bits 4", {"kv_bits": 4, "requests": 1}),
        (OPENAI, OLD, "", {"prompts": 10, "requests": 1}),
        (OPENAI, NEW, "--context-length 65536", {"context_tokens": 65536}),
        (OPENAI, NEW, "--context-length 8 --context-length 9", {"context_tokens": 9}),
        ("vllm", (), "--max-model-len 4096", {"context_tokens": 4096, "prompts": 0, "requests": 1}),
        ("vllm", (), "--max-model-len auto --kv-bits 4", {"context_tokens": None, "kv_bits": None}),
        (LM, NEW[:2], f"--context-length {'9' * 40}", {"context_tokens": None}),
    ],
)
def test_words(runtime: str, options: tuple[str, ...], words: str, found: dict[str, Any]) -> None:
    settings = read_settings(runtime, words.split(), options)
    assert {key: getattr(settings, key) for key in found} == found


def test_without_a_help_no_option_is_assumed() -> None:
    assert read_settings("vllm", ("--port", "1"), None) == Settings()
