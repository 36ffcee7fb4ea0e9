"""The arithmetic of memory names models, not only ports."""

from __future__ import annotations

from typing import Any

from mlxops.render.fit import fit
from mlxops.render.style import Style
from tests.support.sources import ROOT

GIB = 1 << 30
MEMORY: dict[str, Any] = {
    "entry": "topaz",
    "port": 8102,
    "need_bytes": 90 * GIB,
    "total_bytes": 256 * GIB,
    "free_bytes": 41 * GIB,
    "available_bytes": 45 * GIB,
    "held_bytes": {"8100": 150 * GIB, "8102": 4 * GIB, "23189": GIB, "25860": GIB},
    "names": {"8100": "jerry-xl", "8102": "amber"},
    "unload": [8100],
    "fits": False,
}

ON_PAGE: dict[str, Any] = {
    "entry": "topaz",
    "weights_bytes": int(76.8 * GIB),
    "kv_bytes": 10 * GIB,
    "context_tokens": 32768,
    "context_why": "assumed, as --context-length is not set (model maximum: 131072)",
    "kv_source": "asked mlx-lm 0.32.2",
    "max_requests": 32,
    "overhead_bytes": int(2.7 * GIB),
    "need_bytes": int(89.5 * GIB),
    "total_bytes": 256 * GIB,
    "free_bytes": 61 * GIB,
    "wired_limit_bytes": 236 * GIB,
    "available_bytes": 45 * GIB,
    "held_bytes": {"8100": 191 * GIB},
    "names": {"8100": "jerry-xl"},
    "unload": [8100],
    "fits": False,
}


def test_the_page_shows_what_is_printed() -> None:
    assert fit(ON_PAGE, Style()) in (ROOT / "docs" / "memory.md").read_text("utf-8")


def test_servers_have_names_and_strangers_are_one() -> None:
    lines = fit(MEMORY, Style()).splitlines()
    (used,) = [line for line in lines if line.startswith("  in use")]
    assert used.split("GiB  ", 1)[1] == (
        "8100 (jerry-xl) 150 GiB, 8102 (amber) 4.00 GiB, 2 other servers 2.00 GiB"
    )
    assert lines[-1] == "does not fit; it would fit after unloading 8100 (jerry-xl)"


def test_available_says_whose_memory_counts_as_free() -> None:
    (line,) = [one for one in fit(MEMORY, Style()).splitlines() if "available" in one]
    assert line.endswith("45.0 GiB  after unloading 8102 (amber)")
    (line,) = [one for one in fit({**MEMORY, "port": 8103}, Style()).splitlines() if "avail" in one]
    assert line.endswith("45.0 GiB")


def test_on_a_narrow_terminal_each_server_has_its_line() -> None:
    names = {"8100": "qwen3-coder-480b-a35b-instruct-mlx-4bit", "8102": "amber"}
    lines = fit({**MEMORY, "names": names}, Style(width=60)).splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("  in use"))
    assert lines[at][27:].startswith("8100 (qwen3") and lines[at].endswith("150 GiB")
    others = [line.strip() for line in lines[at + 1 : at + 3]]
    assert others == ["8102 (amber) 4.00 GiB", "2 other servers 2.00 GiB"]
    assert max(map(len, lines[: at + 3])) <= 60


DRAFT: dict[str, Any] = {
    "name": "org/draft",
    "weights_bytes": 3 * GIB,
    "kv_bytes": GIB // 4,
    "bytes": 13 * GIB // 4,
    "kv_source": "asked mlx-lm 0.32.2",
}


def lines(**more: Any) -> list[str]:
    return fit({**ON_PAGE, **more}, Style()).splitlines()


def test_what_is_loaded_beside_the_model_has_a_line_of_its_own() -> None:
    adapter = {"name": "/a/lora", "bytes": GIB // 2, "kv_bytes": 0, "kv_source": ""}
    shown = lines(second_models=[DRAFT, adapter])
    at = next(n for n, line in enumerate(shown) if "draft model" in line)
    assert shown[at] == "  draft model    3.25 GiB  org/draft: weights 3.00 GiB, KV cache 256 MiB"
    assert shown[at + 1] == "  adapter         512 MiB  /a/lora"
    guessed = {**DRAFT, "kv_source": "counted from config.json alone"}
    assert lines(second_models=[guessed])[at + 1].strip() == "counted from config.json alone"


def test_what_a_server_may_keep_beyond_one_context() -> None:
    (note,) = [one for one in lines(max_kept_prompts=10) if "not counted" in one]
    assert note.strip() == "not counted: further requests (up to 32) and kept prompts (up to 10)"
    shown = lines(max_kept_prompts=10, max_requests=1, kept_bytes=8 * GIB)
    assert not [one for one in shown if "not counted" in one]
    assert "  prompt cache   8.00 GiB  --prompt-cache-bytes of the entry" in shown


def test_a_figure_that_is_unknown_says_why() -> None:
    source = "counted from config.json alone, the most it can be: no mlx-lm here to ask"
    shown = lines(kv_bytes=None, context_tokens=None, kv_source=source)
    at = next(n for n, line in enumerate(shown) if line.startswith("  KV cache"))
    assert "lacks the attention sizes" in shown[at] and shown[at + 1].endswith("to ask")
