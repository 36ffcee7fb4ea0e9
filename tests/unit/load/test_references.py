"""Which words of `args` refer to files, folders, adapters and other models."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlxops.agent.errors import Failed, ModelMissing
from mlxops.agent.load.references import (
    OPTIONS,
    check,
    loaded_beside,
    references_in,
    with_full_paths,
)
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES, Runtime, parse_help
from mlxops.demo.tinymodel import model_files, write_cache
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


PORT = 8100


@pytest.fixture
def host(tmp_path: Path) -> Any:
    """A host with the model org/draft in its cache."""
    home = tmp_path / "hf"
    write_cache(home / "hub", "org/draft", model_files([" DRAFT"]))
    site = SimpleNamespace(
        state_dir=str(tmp_path / "state"), hf_home=str(home), cache_root=str(home / "hub")
    )
    return SimpleNamespace(site=site)


def entry(*words: str) -> Entry:
    return Entry("m", {**REQUIRED, "args": list(words)})


def reason(host: Any, *words: str) -> str:
    with pytest.raises(Failed) as refused:
        check(host, LM, entry(*words), PORT)
    return refused.value.message


def draft_of(host: Any) -> Path:
    (path,) = Path(host.site.cache_root, "models--org--draft", "snapshots").iterdir()
    return path


def test_a_repository_that_is_whole_in_the_cache_is_loaded_beside(host: Any) -> None:
    for words in (("--draft-model", "org/draft"), ("--draft-model", str(draft_of(host)))):
        check(host, LM, entry(*words), PORT)
        ((one, path),) = loaded_beside(host, LM, entry(*words), PORT)
        assert (one.value, path) == (words[1], str(draft_of(host)))


def test_a_repository_that_the_server_would_download(host: Any) -> None:
    with pytest.raises(ModelMissing) as refused:
        check(host, LM, entry("--draft-model", "org/none"), PORT)
    assert refused.value.hint == "download it first: mlxops pull org/none"
    # The cache of huggingface_hub distinguishes case, and reads refs/main.
    assert "as org/draft; write it like that" in reason(host, "--draft-model", "Org/Draft")
    Path(host.site.cache_root, "models--org--draft", "refs", "main").unlink()
    assert str(draft_of(host)) in reason(host, "--draft-model", "org/draft")


def test_a_repository_in_a_cache_of_another_server(host: Any, tmp_path: Path) -> None:
    host.site.cache_root = str(tmp_path)
    assert "would not find it in its cache" in reason(host, "--draft-model", "org/draft")


def test_a_repository_that_is_not_whole(host: Any) -> None:
    weights = draft_of(host) / "model.safetensors"
    weights.unlink()
    assert "model.safetensors is missing" in reason(host, "--draft-model", "org/draft")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--draft-model", "~/draft"], "write the full path"),
        (["--draft-model", "draft"], "no such path; write the full path"),
        (["--adapter-path", "org/none"], "the option takes the full path of a folder"),
        (["--adapter-path", "org/draft"], "the option takes the full path of a folder: /"),
        (["--adapter-path", "{tmp}"], "adapter_config.json does not exist"),
        (["--chat-template-args", "[]"], "not a JSON object"),
    ],
)
def test_what_else_is_missing(host: Any, tmp_path: Path, words: list[str], why: str) -> None:
    full = [word.format(tmp=tmp_path) if "{tmp}" in word else word for word in words]
    try:
        check(host, LM, entry(*full), PORT)
    except (Failed, ModelMissing) as refused:
        assert why in refused.message and str(tmp_path / "state") not in refused.message
    else:
        pytest.fail("accepted")


def test_an_adapter_is_loaded_beside(host: Any, tmp_path: Path) -> None:
    for name in ("adapter_config.json", "adapters.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    words = entry("--adapter-path", str(tmp_path))
    check(host, LM, words, PORT)
    assert [path for _, path in loaded_beside(host, LM, words, PORT)] == [str(tmp_path)]
