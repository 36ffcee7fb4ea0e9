"""Many faults on several hosts in parallel."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mlxops.demo.tinymodel import model_files

from .agentcall import Blow, Step
from .cases import Case
from .scene import MODELS, Scene
from .trial import Outcome, strike, survey

Tell = Callable[[Outcome], None]
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


class Hosts:
    """One host per parallel trial; the agent runs under `python`, a version, on all of them."""

    def __init__(self, scenes: Sequence[Scene], python: str) -> None:
        self.scenes = scenes
        self.python = python
        self._idle = list(scenes)
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[Scene]:
        with self._lock:
            scene = self._idle.pop()
        try:
            yield scene
        finally:
            with self._lock:
                self._idle.append(scene)

    def steps(self, case: Case) -> tuple[Step, ...]:
        with self.one() as scene:
            return survey(scene, case)

    def strike(
        self, case: Case, blows: Sequence[Blow], tell: Tell = lambda _: None
    ) -> list[Outcome]:
        """Inject faults. Every other one is repaired by reconcile first, the rest only by repeating
        the verb."""

        def one(numbered: tuple[int, Blow]) -> Outcome:
            with self.one() as scene:
                outcome = strike(scene, case, numbered[1], reconcile_first=numbered[0] % 2 == 0)
            with self._lock:
                tell(outcome)
            return outcome

        pool = ThreadPoolExecutor(len(self.scenes))
        try:
            return list(pool.map(one, enumerate(blows)))
        finally:
            # After Ctrl-C, running trials finish and the rest are skipped.
            pool.shutdown(cancel_futures=True)


@contextmanager
def hosts(count: int, folder: Path | None = None, python: str = sys.executable) -> Iterator[Hosts]:
    """`python`: the interpreter of the agent."""
    models = {name: model_files([name], seed=seed) for seed, name in enumerate(MODELS)}
    version = subprocess.run(
        [python, "-IS", "-c", VERSION], capture_output=True, text=True, check=True
    ).stdout.strip()
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scenes = [Scene(place / f"host{number}", models, python) for number in range(count)]
        for scene in scenes:
            stack.callback(scene.end)
        yield Hosts(scenes, version)
