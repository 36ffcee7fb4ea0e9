"""Hostile model folders: the child ends within its bounds with a reason, and harms nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mlxops
from mlxops.agent.context import Context
from mlxops.agent.errors import Interrupted
from mlxops.agent.loader import process
from mlxops.agent.loader.ask import describe
from mlxops.agent.loader.description import Description
from mlxops.agent.loader.source import Folder
from tests.support.survivors import living

from .conftest import RUNTIME
from .test_tokenizer import changed

pytestmark = pytest.mark.slow
Describe = Callable[..., Description]
ROOT = str(Path(mlxops.__file__).parents[1])
# Keeps the child busy without an end; the CPU limit of its stage is not reached in a test.
LOOP = b"{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}"


def test_a_config_of_a_trillion_layers(describe_folder: Describe) -> None:
    said = describe_folder(changed("config.json", num_hidden_layers=10**12))
    assert said.refusal == "config.json: num_hidden_layers is 1000000000000"


def test_sizes_that_no_array_has(describe_folder: Describe) -> None:
    said = describe_folder(changed("config.json", vocab_size=10**12))
    assert said.refusal.startswith("OverflowError: ")


def test_a_nesting_bomb(describe_folder: Describe) -> None:
    said = describe_folder({"config.json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000})
    assert said.refusal.startswith("config.json: RecursionError")


def test_a_config_that_is_no_regular_file(describe_folder: Describe, model_folder: Path) -> None:
    (model_folder / "config.json").unlink()
    os.mkfifo(model_folder / "config.json")
    assert describe_folder({}).failure == "config.json is missing, or is not a regular file"


def test_a_tokenizer_that_would_block(describe_folder: Describe, model_folder: Path) -> None:
    (model_folder / "tokenizer.json").unlink()
    os.mkfifo(model_folder / "tokenizer.json")
    assert describe_folder({}).faults == {"tokenizer.json": "not a regular file"}


def test_a_tokenizer_of_4_gb(describe_folder: Describe, model_folder: Path) -> None:
    os.truncate(model_folder / "tokenizer.json", 4 << 30)
    said = describe_folder({})
    # Linux limits the allocation itself; on macOS the agent sees the memory.
    assert "MemoryError" in said.tokenizer_error or "GiB of memory" in said.tokenizer_error


def test_a_template_that_loops(describe_folder: Describe) -> None:
    said = describe_folder({"chat_template.jinja": LOOP})
    assert "of computing" in said.template_error or "template: the loader took" in said.failure


def test_a_template_that_takes_all_memory(describe_folder: Describe) -> None:
    text = (
        "{% set ns = namespace(x='a' * 99) %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}"
    )
    said = describe_folder({"chat_template.jinja": (text + "{% endfor %}").encode()})
    assert "MemoryError" in said.template_error or "GiB of memory" in said.template_error


def test_code_outside_the_folder_never_runs(describe_folder: Describe, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    files = {
        "tokenizer.json": None,
        **changed(
            "tokenizer_config.json",
            tokenizer_class="Evil",
            auto_map={"AutoTokenizer": ["../evil.Evil", None]},
        ),
    }
    assert "evil" in (describe_folder(files).remote_code or "")
    trusted = describe_folder(files, remote_code=True)
    assert trusted.tokenizer_error == "auto_map leads out of the folder: ../evil.Evil"
    assert not mark.exists()


def test_a_child_that_takes_too_long_is_ended_and_its_answer_not_kept(
    ctx: Context, command: list[str], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TIMEOUT_S", 0.0)
    source = Folder(str(model_folder))
    assert describe(ctx, RUNTIME, command, source) is None
    assert list(Path(ctx.site.state_dir).rglob("*.txt")) == []
    assert children(Path(tempfile.gettempdir())) == []


def test_a_child_beyond_its_memory_is_ended_with_a_reason(
    ctx: Context, command: list[str], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MAX_MEMORY_BYTES", 1 << 20)
    said = describe(ctx, RUNTIME, command, Folder(str(model_folder)))
    assert said is None or "GiB of memory" in said.failure


def test_a_cancel_ends_the_child(
    ctx: Context,
    command: list[str],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cancelled() -> None:
        if children(tmp_path):
            raise Interrupted("cancelled")

    monkeypatch.setattr(ctx.client, "check", cancelled)
    with pytest.raises(Interrupted):
        describe(ctx, RUNTIME, command, Folder(str(model_folder)))
    assert children(tmp_path) == []


AGENT = """
import io, os, sys
from mlxops.agent.context import Context
from mlxops.agent.loader.ask import describe
from mlxops.agent.loader.source import Folder
from mlxops.agent.procs import local_procs
from mlxops.agent.registry.store import Store
from mlxops.agent.runtimes.table import RUNTIMES
from mlxops.agent.site import Site
from mlxops.agent.wire.client import ClientLink

program, model, state = sys.argv[1:]
site = Site.from_wire({"name": "s", "hf_home": state, "registry": state + "/r.json",
    "bind": "127.0.0.1", "ports": [8100], "state_dir": state,
    "runtime": {"name": "mlx_lm.server", "grace_s": 1.0}})
client = ClientLink(os.open(os.devnull, os.O_WRONLY), io.BytesIO())
ctx = Context(site, Store(site.registry, {}), local_procs(), client, {})
describe(ctx, RUNTIMES["mlx_lm.server"], [program], Folder(model))
"""


def test_the_death_of_the_agent_ends_the_child(
    command: list[str], model_folder: Path, tmp_path: Path
) -> None:
    """Also while a template keeps the interpreter busy."""
    (model_folder / "chat_template.jinja").write_bytes(LOOP)
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, command[0], str(model_folder), str(tmp_path)],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": ROOT},
    )
    wait_until(lambda: children(tmp_path))
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    wait_until(lambda: not children(tmp_path))


def children(folder: Path) -> list[str]:
    """Command lines of the processes of this test that ask a loader."""
    return [line for line in living(folder).values() if "loader/child.py" in line]


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)
