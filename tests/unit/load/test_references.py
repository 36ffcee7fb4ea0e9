"""Which words of `args` refer to files, folders, adapters and other models."""

from __future__ import annotations

import json

import pytest

from mlxops.agent.load.references import OPTIONS, references_in, with_full_paths
from mlxops.agent.runtimes.table import RUNTIMES, Runtime, parse_help
from tests.support.sources import ROOT

HELP = ROOT / "tests" / "fixtures" / "help"
LM, OPENAI, VLLM = (RUNTIMES[name] for name in ("mlx_lm.server", "mlx-openai-server", "vllm"))
OWN = Runtime(name="house", default_port=8000)


@pytest.mark.parametrize(
    ("runtime", "words", "found"),
    [
        (LM, ["--draft-model", "org/d"], [("--draft-model", "model", "org/d")]),
        (LM, ["--draft-model=/m/d", "--temp", "1"], [("--draft-model", "model", "/m/d")]),
        # The last of a repeated option counts, as for argparse and click.
        (LM, ["--draft-model", "a", "--draft-model", "b"], [("--draft-model", "model", "b")]),
        (LM, ["--draft-model"], []),
        (LM, ["--draft-model", "--temp"], []),
        (LM, ["--adapter-path", "/a"], [("--adapter-path", "adapter", "/a")]),
        # It takes the template itself.
        (LM, ["--chat-template", "{{ x }}"], []),
        (LM, ["--draft-model-path", "/m"], []),
        (OPENAI, ["--draft-model-path", "/m"], [("--draft-model-path", "model", "/m")]),
        (OPENAI, ["--lora-paths", "/a, /b"], [("--lora-paths", "file", w) for w in ("/a", "/b")]),
        (OPENAI, ["--prompt-cache-dir", "/c"], [("--prompt-cache-dir", "made", "/c")]),
        (
            VLLM,
            ["--lora-modules", "a=/a", json.dumps({"name": "b", "path": "/b"}), "--seed", "1"],
            [("--lora-modules", "parts", w) for w in ("/a", "/b")],
        ),
        (
            VLLM,
            ["--speculative-config", json.dumps({"method": "eagle", "model": "org/d"})],
            [("--speculative-config", "model", "org/d")],
        ),
        (VLLM, ["--speculative-config", '{"method": "ngram"}'], []),
        (VLLM, ["--speculative-config", "{not json"], []),
        (VLLM, ["--generation-config", "auto"], []),
        (VLLM, ["--chat-template", "{% if x %}{% endif %}"], []),
        (VLLM, ["--chat-template", "/t.jinja"], [("--chat-template", "template", "/t.jinja")]),
        (OWN, ["--draft-model", "d"], [("--draft-model", "model", "d")]),
        (OWN, ["--draft-model-path", "d"], [("--draft-model-path", "model", "d")]),
    ],
)
def test_words_that_refer_to_something(
    runtime: Runtime, words: list[str], found: list[tuple[str, str, str]]
) -> None:
    assert [tuple(one) for one in references_in(runtime, words)] == found


@pytest.mark.parametrize("page", ["mlx_lm.server-0.32.2", "mlx-openai-server-1.8.1"])
def test_each_option_of_the_table_is_one_of_the_program(page: str) -> None:
    name = page.rpartition("-")[0]
    listed = parse_help((HELP / f"{page}.txt").read_text("utf-8"))
    assert OPTIONS[name].keys() <= listed.keys()


def test_a_home_is_written_out_where_a_path_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    words = ["--draft-model", "~/d", "--adapter-path=~/a", "--chat-template", "~/kept"]
    full = ["--draft-model", "/home/u/d", "--adapter-path=/home/u/a", "--chat-template", "~/kept"]
    assert with_full_paths(LM, words) == full
    assert with_full_paths(LM, ["--temp", "0"]) == ["--temp", "0"]
