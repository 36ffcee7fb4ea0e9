"""What `fit` says about a model of each family that was never loaded, and what loading it does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bench.memory import most_held
from tests.support.asking import ask, refusal
from tests.support.cramped import Cramped
from tests.support.studio import Studio, finished
from tests.support.survivors import living

from .speech import SPEECHES

BODIES = {speech.model_type: speech for speech in SPEECHES.values()}
PAGE = 4 << 10


class Machine(NamedTuple):
    """A local Studio with the real mlx_lm.server, without a model, and a made-up amount of
    memory."""

    studio: Studio
    memory: Cramped

    @property
    def port(self) -> int:
        return self.studio.ports[0]

    def add(self, body: str, **config: object) -> str:
        files = BODIES[body].files()
        described = {**json.loads(files["config.json"]), **config}
        repo_id = f"tiny/{described['model_type']}"
        self.studio.add(repo_id, {**files, "config.json": json.dumps(described).encode()})
        return repo_id

    def refuses(self, repo_id: str) -> tuple[str, int]:
        """Kind and exit code of a load that changed nothing."""
        before = self._registry()
        failed = refusal(self.studio, "load", model=repo_id, port=self.port)
        assert self._registry() == before and living(self.studio.state_dir / "run") == {}
        return failed.kind, failed.exit_code

    def _registry(self) -> bytes:
        return self.studio.registry_path.read_bytes() if self.studio.registry_path.exists() else b""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    program = Path(sys.executable).with_name("mlx_lm.server")
    runtime = {
        "name": "mlx_lm.server",
        "command": [str(program)],
        "env": {"HF_HUB_OFFLINE": "1"},
        "grace_s": 20,
    }
    studio = Studio(tmp_path_factory.mktemp("fit"), None, runtime)
    yield Machine(studio, Cramped(studio))
    ask(studio, "unload-all")


@pytest.mark.slow
@pytest.mark.parametrize("model_type", BODIES)
def test_what_fits_starts_and_takes_no_more_and_what_lacks_a_page_is_refused(
    machine: Machine, model_type: str
) -> None:
    repo_id, studio, port = machine.add(model_type), machine.studio, machine.port
    machine.memory.size(1 << 40)
    found = ask(studio, "fit", model=repo_id, port=port)
    need = found["need_bytes"]
    assert (found["fits"], found["refused"]) == (True, None)
    machine.memory.size(need - PAGE)
    found = ask(studio, "fit", model=repo_id, port=port)
    assert (found["fits"], found["refused"]["kind"]) == (False, "NotEnoughMemory")
    assert machine.refuses(repo_id) == ("NotEnoughMemory", 10)

    machine.memory.size(need + PAGE)
    loaded = ask(studio, "load", model=repo_id, port=port)
    assert loaded["state"] == "ready" and loaded["memory"]["need_bytes"] == need
    assert most_held(studio.entry(loaded["entry"])["process"]["pid"]) <= need
    ask(studio, "unload", port=port)


def test_one_that_mlx_lm_cannot_build_is_told_by_fit_and_not_loaded(machine: Machine) -> None:
    repo_id = machine.add("qwen2", model_type="qwen99")
    machine.memory.size(1 << 40)
    told = finished(machine.studio.start("fit", repo_id))
    assert told.exit == 1 and told.stdout.endswith("\nfits\n")
    assert "cannot build a model of type qwen99" in told.stderr
    assert machine.refuses(repo_id) == ("Failed", 1)
